import MartletBase
import MartletNode
import MartletRESP
import MartletRing

/// What the sessions of a node have in common: the core behind them, the list of them, the counters. Belongs
/// to the loop's thread.
///
/// A ticket of the core names a session's place here, the session's generation in that place, and the
/// operation:
///
///     place 24 bits | generation 32 bits | operation 8 bits
///
/// so that a reply for a session that has gone meanwhile never reaches the one that has taken its place.
package final class RedisServer {
    package let backend: any RedisBackend
    /// CONFIG SET changes some of them.
    package internal(set) var settings: RedisSettings {
        get { current }
        set { current = newValue }
    }
    private var current: RedisSettings
    /// `client_output_max` as cluster.yaml has it.
    let configuredOutputMax: Int
    /// The log's level as cluster.yaml names it; nil where there is no log.
    package var logLevel: LogLevelSetting?
    package internal(set) var counters = CommandCounters()
    var requests = RequestCounters()
    /// The counters when INFO's were last reset.
    private(set) var baseline = CommandCounters()
    private(set) var baselineRequests = RequestCounters()
    private var rate = 0.0
    private var rateSampled = Instant.zero
    private var rateTotal: UInt64 = 0
    let began: Instant
    /// Hears what an operator should, of each kind at most once in `Limits.badInputLogInterval`.
    package var onReport: (ClientReport) -> Void = { _ in }
    /// A client has asked for what SIGTERM does (MARTLET NODE DRAIN).
    package var onDrain: () -> Void = {}
    private var reported: [Instant?] = [nil, nil, nil]
    /// Where RANDOMKEY begins to look.
    var random: Random

    private struct Place {
        var session: RedisSession?
        var generation: UInt32 = 0
    }
    private var places: ContiguousArray<Place> = []
    private var freePlaces: ContiguousArray<Int> = []
    private var lastID: UInt64 = 0
    package private(set) var sessionCount = 0

    /// Sessions with something for their connections: a list through `nextTouched`.
    private var firstTouched: RedisSession?
    private var lastTouched: RedisSession?

    /// By keyspace.
    var clusterViews: [UInt32: ClusterViewCache] = [:]

    /// Sessions that go over the keys. A walk has one page under way at a time: as long as there are no more
    /// walks than pages that the core makes at once, none is refused half-way.
    var walkCount = 0

    /// As of `keyspacesRead`: asking the core costs an allocation, and definitions change only by an
    /// operator's act.
    private(set) var keyspaces: [KeyspaceDefinition]
    private var keyspacesRead: Instant

    package init(_ backend: any RedisBackend, _ settings: RedisSettings) {
        invariant(Limits.clientOperationsMax <= 64, "an operation's place is a bit of 64")
        self.backend = backend
        current = settings
        configuredOutputMax = settings.clientOutputMax
        began = backend.now.monotonic
        rateSampled = began
        random = Random(seed: settings.randomSeed)
        keyspaces = backend.keyspaces
        keyspacesRead = began
        invariant(!keyspaces.isEmpty, "a node has at least one keyspace")
    }

    // MARK: Sessions

    /// A session for a new connection; nil when there are `clients_max` already. Peer and local are
    /// `address:port`.
    package func open(peer: String, local: String, face: RedisFace = .single) -> RedisSession? {
        guard sessionCount < settings.clientsMax else {
            counters.clientsRefused += 1
            tell(.tooManyClients(peer: peer))
            return nil
        }
        let place = freePlaces.popLast() ?? places.count
        if place == places.count { places.append(Place()) }
        places[place].generation &+= 1
        lastID += 1
        let base = UInt64(place) << 40 | UInt64(places[place].generation) << 8
        let session = RedisSession(self, id: lastID, ticketBase: base, peer: peer, local: local, face: face)
        places[place].session = session
        sessionCount += 1
        counters.clientsAccepted += 1
        return session
    }

    /// The session's connection is gone.
    package func close(_ session: RedisSession) {
        let place = Int(session.ticketBase >> 40)
        guard places[place].session === session else { return }
        places[place].session = nil
        freePlaces.append(place)
        sessionCount -= 1
        session.close()
    }

    /// What a client reads when it is one too many.
    package static let tooManyClients = Array("-ERR max number of clients reached\r\n".utf8)

    /// All sessions, by id.
    var sessions: [RedisSession] {
        places.compactMap(\.session).sorted { $0.id < $1.id }
    }

    // MARK: The core's replies

    /// The core's answer to a request of a session.
    package func complete(_ ticket: ClientTicket, _ reply: ClientReply) {
        let place = Int(ticket.number >> 40)
        guard place < places.count, let session = places[place].session,
            session.ticketBase == ticket.number & ~0xFF
        else { return }
        session.complete(Int(ticket.number & 0xFF), reply)
    }

    func tell(_ report: ClientReport) {
        let now = backend.now.monotonic
        if let last = reported[report.kind], now - last < Limits.badInputLogInterval { return }
        reported[report.kind] = now
        onReport(report)
    }

    // MARK: Flushing

    func touch(_ session: RedisSession) {
        if session.isTouched { return }
        session.isTouched = true
        if let last = lastTouched { last.nextTouched = session } else { firstTouched = session }
        lastTouched = session
    }

    /// Gives the connections what their sessions have written. Once a turn.
    package func flush() {
        while let session = firstTouched {
            firstTouched = session.nextTouched
            if firstTouched == nil { lastTouched = nil }
            session.nextTouched = nil
            session.isTouched = false
            session.connection?.flush()
        }
    }

    // MARK: Keyspaces

    /// The index of a keyspace; nil when it has been dropped.
    ///
    /// - Parameter guess: where it was, and mostly is.
    func place(of id: UInt32, near guess: Int = 0) -> Int? {
        if guess < keyspaces.count, keyspaces[guess].id == id { return guess }
        return keyspaces.firstIndex { $0.id == id }
    }

    /// The definition of the keyspace that a session has selected, not older than `Limits.keyspaceAgeMax`.
    func keyspace(_ id: UInt32, near guess: Int) -> KeyspaceDefinition? {
        refreshKeyspaces()
        return place(of: id, near: guess).map { keyspaces[$0] }
    }

    /// How long its values live that don't say so.
    func timeToLive(_ id: UInt32, near guess: Int) -> Interval {
        refreshKeyspaces()
        return place(of: id, near: guess).map { keyspaces[$0].ttl } ?? .zero
    }

    /// The level of requests that don't say theirs.
    func level(of kind: AskedRequest.Kind, _ id: UInt32, near guess: Int) -> ConsistencyLevel {
        guard let index = place(of: id, near: guess) else { return .quorum }
        return kind == .write || kind == .define ? keyspaces[index].write : keyspaces[index].read
    }

    private func refreshKeyspaces() {
        if backend.now.monotonic - keyspacesRead >= Limits.keyspaceAgeMax { readKeyspaces() }
    }

    /// For what must not miss a keyspace that was created a moment ago.
    func readKeyspaces() {
        keyspaces = backend.keyspaces
        keyspacesRead = backend.now.monotonic
        clusterViews = clusterViews.filter { place(of: $0.key) != nil }
    }

    /// Of the commands since INFO last asked, so that who polls it sees the rate between polls.
    func sampleRate() -> Double {
        let now = backend.now.monotonic
        if now - rateSampled >= Limits.rateSampleMin {
            rate = Double(counters.total - rateTotal) / (now - rateSampled).seconds
            rateSampled = now
            rateTotal = counters.total
        }
        return rate
    }

    /// CONFIG RESETSTAT: INFO counts from here; the metrics go on, since a scraper takes a fall for a
    /// restart.
    func resetStatistics() {
        baseline = counters
        baselineRequests = requests
    }

    /// For tests: what must hold between calls.
    package func checkInvariants() {
        invariant(
            places.reduce(0) { $0 + ($1.session == nil ? 0 : 1) } == sessionCount,
            "the number of sessions is not the number of places taken")
        for place in places { place.session?.operations.checkInvariants() }
        invariant(
            places.count { $0.session?.walk != nil } == walkCount,
            "the number of walks is not that of walkers")
    }
}
