import MartletBase

/// The configuration as the loop uses it: checked, with the package's own types.
struct ClientSettings: Sendable {
    let seeds: [Address]
    let keyspace: String?
    let clientName: String?
    let callTime: Interval
    let connectTimeout: Interval
    let silenceMax: Interval
    let connectionsPerNode: Int
    let inFlightPerConnectionMax: Int
    let waitingPerNodeMax: Int
    let callsMax: Int
    let attemptsMax: Int
    let retryBackoff: Backoff
    let reconnectBackoff: Backoff
    let budgetShare: Double
    let budgetPerSecond: Int
    let sendsLostWritesAgain: Bool
    let speculation: MartletClient.Speculation
    let breaker: CircuitBreaker.Settings
    let topologyInterval: Interval

    init(_ given: MartletClient.Configuration) throws(MartletError) {
        seeds = try Self.addresses(given.seeds)
        keyspace = given.keyspace
        clientName = given.clientName
        callTime = try Self.positive(given.callTime, "callTime")
        connectTimeout = try Self.positive(given.connectTime, "connectTime")
        silenceMax = try Self.positive(given.silenceMax, "silenceMax")
        connectionsPerNode = try Self.within(1...64, given.connectionsPerNode, "connectionsPerNode")
        inFlightPerConnectionMax = try Self.within(
            1...65_536, given.inFlightPerConnection, "inFlightPerConnection")
        waitingPerNodeMax = try Self.within(1...Limits.clientCallsMax, given.waitingPerNode, "waitingPerNode")
        callsMax = try Self.within(1...Limits.clientCallsMax, given.callsMax, "callsMax")
        let retries = given.retries
        attemptsMax = try Self.within(1...100, retries.attemptsMax, "retries.attemptsMax")
        retryBackoff = Backoff(
            pauseMin: try Self.positive(retries.pauseMin, "retries.pauseMin"),
            pauseMax: try Self.positive(retries.pauseMax, "retries.pauseMax"))
        reconnectBackoff = Backoff(
            pauseMin: Limits.clientReconnectPauseMin, pauseMax: Limits.clientReconnectPauseMax)
        budgetShare = Double(try Self.within(0...100, retries.budgetPercent, "retries.budgetPercent")) / 100
        budgetPerSecond = try Self.within(0...100_000, retries.budgetPerSecond, "retries.budgetPerSecond")
        sendsLostWritesAgain = retries.lostWrites == .sendAgain
        switch given.speculation {
        case .off: break
        case .percentile(let hundredths): _ = try Self.within(50...99, hundredths, "speculation's percentile")
        case .after(let pause): _ = try Self.positive(pause, "speculation's time")
        }
        speculation = given.speculation
        breaker = try Self.breaker(given.circuitBreaker)
        topologyInterval = try Self.positive(given.topologyInterval, "topologyInterval")
    }

    private static func breaker(
        _ given: MartletClient.CircuitBreaking
    ) throws(MartletError) -> CircuitBreaker.Settings {
        var out = CircuitBreaker.Settings()
        out.successPercentMin = try within(
            0...100, given.successPercentMin, "circuitBreaker.successPercentMin")
        out.requestsMin = try within(1...1_000_000, given.requestsMin, "circuitBreaker.requestsMin")
        out.window = try positive(given.window, "circuitBreaker.window")
        out.pauseMin = try positive(given.pauseMin, "circuitBreaker.pauseMin")
        out.pauseMax = try positive(given.pauseMax, "circuitBreaker.pauseMax")
        return out
    }

    private static func addresses(_ texts: [String]) throws(MartletError) -> [Address] {
        guard !texts.isEmpty, texts.count <= Limits.nodesMax else {
            throw .invalidArgument("seeds names \(texts.count) nodes; it is 1 to \(Limits.nodesMax)")
        }
        var out: [Address] = []
        for text in texts {
            guard let address = Address(text, defaultPort: Limits.clientPortDefault) else {
                throw .invalidArgument(
                    "the seed '\(text)' is no address: write 192.0.2.1:7380 or [2001:db8::1]:7380")
            }
            if !out.contains(address) { out.append(address) }
        }
        return out
    }

    private static func within(
        _ range: ClosedRange<Int>, _ value: Int, _ name: String
    ) throws(MartletError) -> Int {
        if range.contains(value) { return value }
        throw .invalidArgument("\(name) is \(value); it is \(range.lowerBound) to \(range.upperBound)")
    }

    /// Up to a day: every sum of such times is far from overflowing.
    private static func positive(_ duration: Duration, _ name: String) throws(MartletError) -> Interval {
        if duration > .zero, duration <= .seconds(86_400) { return Interval(duration) }
        throw .invalidArgument("\(name) is \(duration); it is above zero and at most a day")
    }
}
