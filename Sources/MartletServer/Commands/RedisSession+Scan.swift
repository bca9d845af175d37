import MartletBase
import MartletNode
import MartletRESP
import MartletRing

/// SCAN, KEYS, DBSIZE, RANDOMKEY.
extension RedisSession {
    /// The part of the ring that these commands go over: in order, apart from each other. All of it, since
    /// every node answers for the whole key space; on the cluster's port, where a client asks each node and
    /// adds up, this node's master slots.
    ///
    /// Asked anew by each command and for each page of a SCAN. Where the ranges change between two pages,
    /// the cursor still says what was covered: the next page begins at the first token at or above it that
    /// is in a range.
    var scannedRanges: [ClosedRange<Token>] {
        guard face == .cluster else { return [Token.all] }
        let view = server.clusterView(keyspace)
        // While the ring forms nothing is anybody's: the core says so.
        return view.isFormed ? view.ownTokens : [Token.all]
    }

    func scan(_ request: Request) {
        guard let cursor = scanCursor(request[1]) else { return refuse("ERR invalid cursor") }
        guard let options = scanOptions(request), !refuseCostly(options.pattern) else { return }
        let ranges = KeyWalk.rest(of: scannedRanges, from: Token(value: cursor))
        // Everything is a string: what asks for another type needs no look.
        if ranges.isEmpty || !options.isOfStrings {
            return answer { writer in
                writer.array(count: 2)
                writer.bulk("0")
                writer.array(count: 0)
            }
        }
        let count = Int(min(options.count, Int64(Limits.clientScanCountMax)))
        startWalk(.page(count: count), ranges: ranges, pattern: options.pattern)
    }

    func keys(_ request: Request) {
        let pattern = Blob(copying: request[1]).bytes
        let matcher = Self.pattern(pattern)
        if refuseCostly(matcher) { return }
        startWalk(.keys, ranges: scannedRanges, pattern: matcher)
    }

    private func refuseCostly(_ pattern: GlobPattern?) -> Bool {
        guard pattern?.isCostly == true else { return false }
        refuse(
            "ERR pattern is too long: from its first * on it may have \(GlobPattern.starredBytesMax) bytes; "
                + "match a shorter one and choose among its keys")
        return true
    }

    func databaseSize() { startWalk(.size, ranges: scannedRanges) }

    func randomKey() {
        let start = Token(value: server.random.next())
        startWalk(.randomKey, ranges: KeyWalk.rotation(of: scannedRanges, from: start))
    }

    /// Nil for the one that every key matches.
    private static func pattern(_ bytes: [UInt8]) -> GlobPattern? {
        bytes == [UInt8(ascii: "*")] ? nil : GlobPattern(bytes)
    }

    private struct ScanOptions {
        var pattern: GlobPattern?
        var count: Int64 = 10
        var isOfStrings = true
    }

    /// Nil when they make no sense, which is then answered.
    private func scanOptions(_ request: Request) -> ScanOptions? {
        var options = ScanOptions()
        var index = 2
        while index < request.count {
            guard index + 1 < request.count else {
                refuseSyntax()
                return nil
            }
            let value = request[index + 1]
            if equalsIgnoringCase(request[index], "COUNT") {
                guard let count = integer(value) else { return nil }
                guard count > 0 else {
                    refuseSyntax()
                    return nil
                }
                options.count = count
            } else if equalsIgnoringCase(request[index], "MATCH") {
                options.pattern = Self.pattern(Blob(copying: value).bytes)
            } else if equalsIgnoringCase(request[index], "TYPE") {
                options.isOfStrings = equalsIgnoringCase(value, "string")
            } else {
                refuseSyntax()
                return nil
            }
            index += 2
        }
        return options
    }

    /// A cursor as Redis reads one, with C's `strtoul`: an optional sign, the digits, and then the end or a
    /// NUL; nothing at all is 0. Nil for what it refuses.
    private func scanCursor(_ argument: RawSpan) -> UInt64? {
        var text = cString(argument, max: argument.byteCount)[...]
        guard !text.isEmpty else { return 0 }
        let isNegative = text.first == UInt8(ascii: "-")
        if isNegative || text.first == UInt8(ascii: "+") { text = text.dropFirst() }
        guard !text.isEmpty else { return nil }
        var value: UInt64 = 0
        for byte in text {
            let digit = UInt64(byte &- UInt8(ascii: "0"))
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(digit)
            guard digit <= 9, !overflow, !carry else { return nil }
            value = sum
        }
        return isNegative ? 0 &- value : value
    }
}
