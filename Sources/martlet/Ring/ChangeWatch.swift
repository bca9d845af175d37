import Glibc
import MartletBase
import MartletConfig

/// Waits until a change of the ring is over, and shows how far it is. Ctrl-C ends only the waiting: the nodes
/// go on by themselves.
struct ChangeWatch {
    enum End {
        case over
        case interrupted
        /// It didn't come about, and why.
        case failed(String)
    }

    /// What a look at the cluster shows.
    enum Sight {
        case over
        case underWay
        case failed(String)
    }

    private static let lookEvery = Interval.milliseconds(250)
    /// How long nobody may answer before that is said.
    private static let silenceMax = Interval.seconds(30)

    /// Who is asked: more than one, because some come and go.
    private var asked: [Endpoint]
    private let title: String
    private let group = NodeGroup()

    /// - Parameter title: `n2 leaves`.
    init(_ title: String, asking asked: [Endpoint]) {
        self.title = title
        self.asked = asked
    }

    /// `look` judges by what one node of the ring says, who was asked for that being none that is gone.
    mutating func wait(_ look: (JSONValue) -> Sight) -> End {
        var signals = SignalWait()
        var bar = ProgressBar(title, unit: "exchanges")
        defer { bar.clear() }
        var heardAt = Clock.now
        while true {
            let answers = group.ask(
                asked, [[Blob("MARTLET"), Blob("STATUS")]], within: Session.surveyWithin
            ).compactMap { $0.replies?.first?.blob }.compactMap { try? JSONReader.read($0.bytes) }
            let members = answers.filter { $0["ring"]?.text == "formed" }
            if !members.isEmpty { heardAt = Clock.now }
            for status in members {
                learn(status)
                switch look(status) {
                case .over: return .over
                case .failed(let reason): return .failed(reason)
                case .underWay: break
                }
            }
            if Clock.now - heardAt >= Self.silenceMax { return .failed("no node answers any more") }
            bar.show(ChangeProgress(members).point)
            if signals.nextStop(within: Self.lookEvery) != nil { return .interrupted }
        }
    }

    /// Nodes that joined while this waits are asked as well.
    private mutating func learn(_ status: JSONValue) {
        for node in KnownNode.all(in: status) {
            guard node.isUp, let endpoint = node.endpoint,
                !asked.contains(where: { $0.place == endpoint.place })
            else { continue }
            asked.append(endpoint)
        }
    }
}

/// How far the change in hand is, by what several nodes say of it: each of its own exchanges, the one that
/// completes it of who is still to vote.
package struct ChangeProgress {
    package private(set) var text = ""
    private var done = 0
    private var needed = 0
    private var share = 0.0
    private var note: [String] = []

    package init(_ statuses: [JSONValue]) {
        var waits: [String] = []
        var waiting = 0
        var bytes = 0.0
        var rate = 0.0
        var eta: Double?
        for status in statuses {
            guard let change = status["change"], change != .null else { continue }
            if text.isEmpty {
                text = "\(Self.subject(change)): \(change["kind"]?.text ?? "change")"
            }
            let exchanges = change["exchanges"]?.integer ?? 0
            needed += exchanges
            done += change["done"]?.integer ?? 0
            share += Double(exchanges) * (change["percent"]?.double ?? 0) / 100
            bytes += change["bytes"]?.double ?? 0
            rate += change["rate_bytes_per_s"]?.double ?? 0
            if let left = change["eta_s"]?.double { eta = max(eta ?? 0, left) }
            waiting = max(waiting, change["waiting"]?.integer ?? 0)
            for wait in change["waits"]?.elements ?? [] {
                let reason = (wait["waits_for"]?.text ?? "-").split(separator: "_").joined(separator: " ")
                let text = "\(wait["node"]?.text ?? "-") (\(reason))"
                if !waits.contains(text) { waits.append(text) }
            }
        }
        if bytes > 0 { note.append(Quantities.bytes(bytes)) }
        if rate > 0 { note.append(Quantities.bytes(rate) + "/s") }
        if let eta { note.append("\(Quantities.duration(seconds: eta.rounded())) to go") }
        if !waits.isEmpty { note.append("waits for \(waits.joined(separator: ", "))") }
        if waiting > 0 { note.append("\(waiting) more changes wait") }
        if !text.isEmpty {
            text += ", \(done) of \(needed) exchanges"
            if !note.isEmpty { text += ", " + note.joined(separator: ", ") }
        }
    }

    /// Who or what changes.
    package static func subject(_ change: JSONValue) -> String {
        change["node"]?.text ?? change["keyspace"]?.text.map { "keyspace \($0)" } ?? "a node"
    }

    var point: ProgressBar.Point {
        ProgressBar.Point(
            done: Double(done), fraction: needed > 0 ? share / Double(needed) : nil,
            note: note.joined(separator: ", "))
    }
}
