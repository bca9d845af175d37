import MartletBase

/// A readable trace of a run, kept only when asked for: a failing seed is run again with it.
struct TraceRecorder {
    struct Line {
        let at: Instant
        /// The key it is about; nil for what concerns the whole cluster.
        let key: Int?
        let text: String

        /// Seconds, to the microsecond, and the text.
        var description: String {
            let microseconds = at.nanoseconds / 1_000
            let fraction = String(microseconds % 1_000_000)
            let zeros = String(repeating: "0", count: 6 - fraction.utf8.count)
            return "\(microseconds / 1_000_000).\(zeros)\(fraction)  \(text)"
        }
    }

    private let sink: (@Sendable (String) -> Void)?
    private(set) var lines: [Line] = []
    /// The keys that requests under way are about, so that answers can be told by them: by sender and number.
    private var keys: [RequestName: Int] = [:]

    private struct RequestName: Hashable {
        let process: Int
        let number: UInt64
    }

    /// With a sink the lines go there, and aren't kept.
    init(sink: (@Sendable (String) -> Void)?) { self.sink = sink }

    mutating func note(at instant: Instant, key: Int? = nil, _ text: String) {
        let line = Line(at: instant, key: key, text: text)
        if let sink { sink(line.description) } else { lines.append(line) }
    }

    mutating func remember(_ number: UInt64, by process: Int, isAbout key: Int) {
        keys[RequestName(process: process, number: number)] = key
    }

    func key(of number: UInt64, by process: Int) -> Int? {
        keys[RequestName(process: process, number: number)]
    }

    /// The last lines that concern the whole cluster, or the key if there is one.
    func excerpt(key: Int?, count: Int) -> [String] {
        let relevant = lines.filter { $0.key == nil || $0.key == key }
        return relevant.suffix(count).map(\.description)
    }
}
