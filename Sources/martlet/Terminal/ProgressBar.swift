import MartletBase

/// One line on stderr that is written over again while something takes long: how much is done, how fast, and
/// how long it will still take. Nothing is written where stderr is no terminal, nor for work that is over
/// before anyone wonders.
package struct ProgressBar {
    /// How far the work has come.
    package struct Point: Sendable {
        let done: Double
        /// Of the whole, from 0 to 1; nil when nobody knows how much there is.
        let fraction: Double?
        /// What it waits for, or anything else that changes.
        let note: String

        package init(done: Double, of total: Double? = nil, fraction: Double? = nil, note: String = "") {
            self.done = done
            self.fraction = (fraction ?? total.map { $0 > 0 ? done / $0 : 1 }).map { min(1, max(0, $0)) }
            self.note = note
        }
    }

    private let title: String
    private let unit: String
    private let start = Clock.now
    private var shown: Instant?

    private static let quietFor = Interval.milliseconds(200)
    private static let drawEvery = Interval.milliseconds(100)

    /// - Parameters:
    ///   - title: what is done: `scanning`.
    ///   - unit: of what: `keys`.
    init(_ title: String, unit: String) {
        self.title = title
        self.unit = unit
    }

    mutating func show(_ point: Point) {
        let terminal = Terminal.errors
        let now = Clock.now
        guard terminal.canMoveCursor, now - start >= Self.quietFor,
            shown.map({ now - $0 >= Self.drawEvery }) ?? true
        else { return }
        shown = now
        let line = Self.line(
            title, unit, point, elapsed: now - start, columnsMax: (terminal.columns ?? 80) - 1)
        Output.complain("\r\u{1B}[K" + line)
    }

    /// Before anything else is written to the terminal, and at the end.
    mutating func clear() {
        if shown != nil { Output.complain("\r\u{1B}[K") }
        shown = nil
    }

    /// `scanning [=====>    ] 52% 12345 keys, 820/s, 14s left`.
    package static func line(
        _ title: String, _ unit: String, _ point: Point, elapsed: Interval, columnsMax: Int
    ) -> String {
        var text = "\(Quantities.count(point.done)) \(unit)"
        let seconds = elapsed.seconds
        if seconds >= 1, point.done > 0 { text += ", \(Quantities.count(point.done / seconds))/s" }
        if let fraction = point.fraction {
            text = "\(Int(fraction * 100))% " + text
            // An estimate from little is none.
            if seconds >= 1, fraction > 0.01, fraction < 1 {
                text +=
                    ", \(Quantities.duration(seconds: (seconds * (1 - fraction) / fraction).rounded())) left"
            }
        } else {
            text += ", \(Quantities.duration(seconds: seconds.rounded()))"
        }
        if !point.note.isEmpty { text += ", \(printable(point.note))" }
        let barWidth = min(30, columnsMax - title.count - text.count - 4)
        var bar = ""
        if let fraction = point.fraction, barWidth >= 8 {
            let filled = Int(fraction * Double(barWidth))
            let head = filled < barWidth ? ">" : ""
            bar = "[" + String(repeating: "=", count: filled) + head
            bar += String(repeating: " ", count: barWidth - filled - head.count) + "] "
        }
        return truncated("\(title) \(bar)\(text)", to: columnsMax)
    }
}
