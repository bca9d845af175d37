import Glibc
import MartletBase
import MartletConfig

extension Command {
    static let top = Command(
        CommandSpecification(
            "top", "Shows what the nodes of the cluster are doing, live.",
            options: [
                OptionSpecification(
                    "--interval", value: "TIME", "From one sample to the next (2s); at least 100ms."),
                OptionSpecification("--once", "One sample, and the end."),
            ] + Session.options,
            examples: [
                ("martlet top", "live; q quits, one key a column sorts"),
                ("martlet top --interval 500ms", "twice a second"),
                ("martlet top --once", "a sample over one interval, as a table"),
                ("martlet top --json > samples.jsonl", "an object a line until Ctrl-C"),
            ],
            notes: """
                A sample is the difference of two readings: what happened in the interval between them. Where
                stdout is no terminal, or TERM is dumb, it is one table, as with --once. Latencies are those
                of the interval; a figure that a node doesn't tell is `-`, or null with --json. The key of the
                column that it is sorted by turns the order round; Ctrl-Z stops it, `fg` goes on.
                """)
    ) { invocation throws(Failure) in
        var top = try Top(invocation)
        return try top.run()
    }
}

private struct Top {
    private let invocation: Invocation
    private let interval: Interval
    private let candidates: [Endpoint]
    private var source: TopSource

    init(_ invocation: Invocation) throws(Failure) {
        self.invocation = invocation
        interval = try invocation.interval("--interval", bare: .seconds(1)) ?? .seconds(2)
        guard interval >= .milliseconds(100), interval <= .hours(1) else {
            throw .usage("--interval: allowed: 100ms to 1h")
        }
        let session = try Session(invocation)
        let status = try session.json(["MARTLET", "STATUS"]).value
        let known = KnownNode.all(in: status).filter { $0.liveness != "down" }.compactMap(\.endpoint)
        // The node that was asked first: its view of the others is what is shown.
        let own = known.filter { $0.node == status["asked"]?.text }
        candidates = known.isEmpty ? [session.endpoint] : own + known.filter { !own.contains($0) }
        source = TopSource(candidates)
    }

    mutating func run() throws(Failure) -> ExitCode {
        let isOnce = invocation.line.has("--once")
        if invocation.isJSON {
            return try write(isOnce: isOnce) { sample in
                var now = timespec()
                clock_gettime(CLOCK_REALTIME, &now)
                return Output.stream(
                    sample.json(at: Int64(now.tv_sec) * 1_000 + Int64(now.tv_nsec) / 1_000_000))
            }
        }
        if !isOnce, let screen = Screen() { return show(on: screen) }
        return try write(isOnce: true) { sample in
            let terminal = Terminal.output
            Output.write(
                TopView().text(sample, columnsMax: terminal.columns, palette: terminal.palette))
            return true
        }
    }

    /// Samples one after another, until a signal, until nobody reads them, or, once, the first.
    private mutating func write(
        isOnce: Bool, _ write: (TopSample) -> Bool
    ) throws(Failure) -> ExitCode {
        var signals = SignalWait()
        var earlier = try reading()
        while true {
            if let number = signals.nextStop(within: interval) {
                return number == SIGINT ? .interrupted : .done
            }
            let later = try reading()
            guard write(TopSample(earlier, later)), !isOnce else { return .done }
            earlier = later
        }
    }

    private mutating func reading() throws(Failure) -> TopReading {
        if let reading = source.read() { return reading }
        // They may be back elsewhere in the list: another round by the first list before it is given up.
        source = TopSource(candidates)
        guard let reading = source.read() else {
            throw Failure(.unreachable, "UNREACHABLE", "no node answers any more")
        }
        return reading
    }

    /// The live view. That no node answers ends it least of all.
    private mutating func show(on screen: Screen) -> ExitCode {
        var view = TopView()
        var sample: TopSample?
        var earlier = source.read()
        var due = Clock.now + min(interval, .milliseconds(500))
        var isSilent = earlier == nil
        while true {
            draw(sample, view, isSilent: isSilent, on: screen)
            let left = due - Clock.now
            switch left > .zero ? screen.next(within: left) : nil {
            case .key("q"), .key("Q"): return .done
            case .key(let key): TopView.column(ofKey: key).map { view.choose($0) }
            case .redraw: continue
            case .stop(let number): return number == SIGINT ? .interrupted : .done
            case .gone: return .done
            case nil:
                due = Clock.now + interval
                guard let later = source.read() else {
                    isSilent = true
                    source = TopSource(candidates)
                    continue
                }
                isSilent = false
                if let earlier { sample = TopSample(earlier, later) }
                earlier = later
            }
        }
    }

    private func draw(_ sample: TopSample?, _ view: TopView, isSilent: Bool, on screen: Screen) {
        let terminal = Terminal.output
        let (columns, rows) = (terminal.columns ?? 80, terminal.rows ?? 24)
        var lines =
            sample.map { view.lines($0, columns: columns, rows: rows, palette: terminal.palette) }
            ?? ["reading; q quits"]
        if isSilent {
            let text = truncated("no node answers; asking again", to: columns)
            lines = [terminal.palette.paint(text, .bad)] + lines.dropFirst()
        }
        screen.draw(lines)
    }
}
