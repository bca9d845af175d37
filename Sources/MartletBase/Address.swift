/// An IPv4 or IPv6 address literal. IPv4 is kept as an IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2).
package struct IPAddress: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let high: UInt64
    package let low: UInt64

    @inlinable package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    package init(v4 a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) {
        high = 0
        low = 0xFFFF_0000_0000 | UInt64(a) << 24 | UInt64(b) << 16 | UInt64(c) << 8 | UInt64(d)
    }

    /// The four bytes as a number, when this is an IPv4 address.
    @inlinable package var v4: UInt32? {
        high == 0 && low >> 32 == 0xFFFF ? UInt32(truncatingIfNeeded: low) : nil
    }

    /// 127.0.0.0/8 and ::1.
    package var isLoopback: Bool {
        if let v4 { return v4 >> 24 == 127 }
        return high == 0 && low == 1
    }

    /// The address `n` further on.
    package func advanced(by n: Int) -> IPAddress {
        IPAddress(high: high, low: low &+ UInt64(bitPattern: Int64(n)))
    }

    /// Nil unless the text is an address literal (no names, no zone ids, no port).
    package init?(_ text: some StringProtocol) {
        if text.utf8.contains(UInt8(ascii: ":")) {
            guard let groups = Self.groups(ofV6: String(text)) else { return nil }
            high = groups[0..<4].reduce(0) { $0 << 16 | UInt64($1) }
            low = groups[4..<8].reduce(0) { $0 << 16 | UInt64($1) }
        } else {
            guard let v4 = Self.parseV4(text) else { return nil }
            high = 0
            low = 0xFFFF_0000_0000 | UInt64(v4)
        }
    }

    private static func parseV4(_ text: some StringProtocol) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (48...57).contains($0) }),
                part.utf8.count == 1 || part.utf8.first != 48, let byte = UInt8(part)
            else { return nil }
            value = value << 8 | UInt32(byte)
        }
        return value
    }

    /// The eight 16-bit groups of an IPv6 literal (RFC 4291, 2.2), its last two perhaps in dotted IPv4 form.
    private static func groups(ofV6 text: String) -> [UInt16]? {
        func list(_ part: Substring) -> [UInt16]? {
            if part.isEmpty { return [] }
            var out: [UInt16] = []
            let pieces = part.split(separator: ":", omittingEmptySubsequences: false)
            for (i, piece) in pieces.enumerated() {
                if i == pieces.count - 1, piece.contains(".") {
                    guard let v4 = parseV4(piece) else { return nil }
                    out += [UInt16(v4 >> 16), UInt16(v4 & 0xFFFF)]
                } else {
                    guard (1...4).contains(piece.utf8.count), piece.utf8.first != UInt8(ascii: "+"),
                        let group = UInt16(piece, radix: 16)
                    else { return nil }
                    out.append(group)
                }
            }
            return out
        }
        guard let gap = text.firstRange(ofPair: ":") else {
            guard let all = list(text[...]), all.count == 8 else { return nil }
            return all
        }
        guard let head = list(text[..<gap.lowerBound]), let tail = list(text[gap.upperBound...]),
            head.count + tail.count < 8
        else { return nil }
        return head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
    }

    package var description: String {
        if let v4 { return "\(v4 >> 24).\(v4 >> 16 & 255).\(v4 >> 8 & 255).\(v4 & 255)" }
        let groups = (0..<8).map { i in
            UInt16(truncatingIfNeeded: (i < 4 ? high : low) >> UInt64(48 - 16 * (i % 4)))
        }
        // The longest run of two or more zero groups is shortened, the first of equals (RFC 5952, 4.2).
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, groups[end] == 0 { end += 1 }
            if end - start > max(1, best.count) { best = start..<end }
            start = max(end, start + 1)
        }
        func join(_ part: ArraySlice<UInt16>) -> String {
            part.map { String($0, radix: 16) }.joined(separator: ":")
        }
        if best.isEmpty { return join(groups[...]) }
        return join(groups[..<best.lowerBound]) + "::" + join(groups[best.upperBound...])
    }

    @inlinable package static func < (a: IPAddress, b: IPAddress) -> Bool {
        (a.high, a.low) < (b.high, b.low)
    }
}

extension String {
    /// The range of the first doubled character `pair`.
    fileprivate func firstRange(ofPair pair: Character) -> Range<Index>? {
        var i = startIndex
        while i < endIndex {
            let next = index(after: i)
            if next < endIndex, self[i] == pair, self[next] == pair { return i..<index(after: next) }
            i = next
        }
        return nil
    }
}

/// Where a node's socket is: an address literal and a port.
package struct Address: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let ip: IPAddress
    package let port: UInt16

    @inlinable package init(ip: IPAddress, port: UInt16) {
        self.ip = ip
        self.port = port
    }

    /// `1.2.3.4:5`, `[::1]:5`, or an address literal alone with `defaultPort`; nil otherwise.
    package init?(_ text: String, defaultPort: UInt16) {
        if let ip = IPAddress(text) {
            self.init(ip: ip, port: defaultPort)
            return
        }
        guard let colon = text.lastIndex(of: ":") else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        guard let ip = IPAddress(host), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            return nil
        }
        self.init(ip: ip, port: port)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        let high = try reader.u64()
        let low = try reader.u64()
        self.init(ip: IPAddress(high: high, low: low), port: try reader.u16())
    }

    package func write(to writer: inout ByteWriter) {
        writer.u64(ip.high)
        writer.u64(ip.low)
        writer.u16(port)
    }

    package var description: String { ip.v4 == nil ? "[\(ip)]:\(port)" : "\(ip):\(port)" }

    @inlinable package static func < (a: Address, b: Address) -> Bool { (a.ip, a.port) < (b.ip, b.port) }
}
