import Glibc
import MartletBase

/// Where a node's Redis port is: an address or a host's name, and the node's name where it is known.
package struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    package var node: String?
    package let host: String
    package let port: UInt16

    package static let portDefault: UInt16 = 7379

    package init(node: String? = nil, host: String, port: UInt16) {
        self.node = node
        self.host = host
        self.port = port
    }

    /// `HOST`, `HOST:PORT`, `[V6]:PORT` or an IPv6 address alone; nil for anything else.
    package init?(_ text: String) {
        if let address = Address(text, defaultPort: Self.portDefault) {
            self.init(host: address.ip.description, port: address.port)
            return
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let isName = parts[0].utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"),
                UInt8(ascii: "_"):
                true
            default: false
            }
        }
        // Digits and points alone are a mistyped address, which a name server needn't be asked about.
        let isNumeric = parts[0].allSatisfy { $0.isNumber || $0 == "." }
        guard isName, !isNumeric, (1...253).contains(parts[0].utf8.count), parts.count <= 2 else {
            return nil
        }
        guard parts.count == 2 else {
            self.init(host: String(parts[0]), port: Self.portDefault)
            return
        }
        guard let port = UInt16(parts[1]), port > 0 else { return nil }
        self.init(host: String(parts[0]), port: port)
    }

    package var place: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    package var description: String {
        node.map { "\($0) (\(place))" } ?? place
    }

    func addresses() throws(Connection.Problem) -> [SocketAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV | (IPAddress(host) == nil ? 0 : AI_NUMERICHOST)
        var list: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(host, String(port), &hints, &list)
        guard status == 0 else {
            throw .unreachable("the name \(host) isn't known: \(String(cString: gai_strerror(status)))")
        }
        defer { freeaddrinfo(list) }
        var out: [SocketAddress] = []
        var next = list
        while let entry = next {
            out.append(SocketAddress(entry.pointee))
            next = entry.pointee.ai_next
        }
        return out
    }
}

/// A socket's address as the system has it.
struct SocketAddress {
    let family: Int32
    private let bytes: [UInt8]

    init(_ info: addrinfo) {
        family = info.ai_family
        bytes = Array(UnsafeRawBufferPointer(start: info.ai_addr, count: Int(info.ai_addrlen)))
    }

    func connect(_ file: Int32) -> Int32 {
        bytes.withUnsafeBytes {
            Glibc.connect(file, $0.assumingMemoryBound(to: sockaddr.self).baseAddress, socklen_t($0.count))
        }
    }
}
