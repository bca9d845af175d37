import Glibc
import MartletBase

/// A terminal that a program has to itself: the alternate screen, no cursor, no echo, each key as it is
/// pressed. `leave` gives it back, and so does every way in which the program ends but SIGKILL: signals are
/// fetched (Ctrl-C and Ctrl-Z arrive as keys), and a crash runs a handler that does nothing but this.
final class Screen {
    enum Input {
        case key(Character)
        /// The window has another size, or the program was stopped and goes on: draw again.
        case redraw
        /// SIGINT, SIGTERM, SIGHUP or SIGQUIT, or the key for it.
        case stop(Int32)
        /// Nobody is there any more.
        case gone
    }

    private var signals = SignalWait([SIGQUIT, SIGTSTP, SIGWINCH])
    private var isEntered = false

    /// The terminal's state before; read once, so that the crash handler needs no lock.
    private static let before: termios? = {
        var state = termios()
        return tcgetattr(STDIN_FILENO, &state) == 0 ? state : nil
    }()
    /// The alternate screen, no cursor, and lines that don't wrap where a window is too narrow for anything.
    private static let enterText = "\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l"
    private static let leaveText: StaticString = "\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l"
    /// A key's bytes come at once; signals are looked for this often.
    private static let lookEvery = Interval.milliseconds(100)

    /// Nil when stdin or stdout isn't a terminal that can be drawn on.
    init?() {
        guard Terminal.output.canMoveCursor, isatty(STDIN_FILENO) == 1, Self.before != nil else { return nil }
        for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE] {
            signal(number) { number in
                Screen.giveBack()
                signal(number, SIG_DFL)
                raise(number)
            }
        }
        enter()
    }

    deinit { leave() }

    private func enter() {
        guard var state = Self.before else { return }
        state.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
        state.c_iflag &= ~tcflag_t(IXON)
        withUnsafeMutableBytes(of: &state.c_cc) { controls in
            controls[Int(VMIN)] = 0
            controls[Int(VTIME)] = 0
        }
        tcsetattr(STDIN_FILENO, TCSANOW, &state)
        Output.write(Self.enterText)
        isEntered = true
    }

    func leave() {
        guard isEntered else { return }
        isEntered = false
        Self.giveBack()
    }

    /// Also from a signal handler: system calls alone.
    private static func giveBack() {
        guard var state = before else { return }
        tcsetattr(STDIN_FILENO, TCSANOW, &state)
        _ = write(STDOUT_FILENO, leaveText.utf8Start, leaveText.utf8CodeUnitCount)
    }

    /// Writes the lines over the screen's, cut to its rows.
    func draw(_ lines: [String]) {
        let rows = Terminal.output.rows ?? 24
        let shown = lines.prefix(rows).map { "\($0)\u{1B}[K" }
        Output.write("\u{1B}[H" + shown.joined(separator: "\r\n") + "\u{1B}[J")
    }

    /// The next thing that happens; nil when nothing did in time.
    func next(within interval: Interval) -> Input? {
        let deadline = Clock.now + interval
        while true {
            if let input = fetchSignal() { return input }
            let left = min(deadline - Clock.now, Self.lookEvery)
            guard left > .zero else { return nil }
            var item = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
            guard poll(&item, 1, Int32(clamping: left.milliseconds + 1)) > 0 else { continue }
            if let input = fetchKey() { return input }
        }
    }

    private func fetchSignal() -> Input? {
        while let number = signals.next(within: .zero) {
            switch number {
            case SIGINT, SIGTERM, SIGHUP, SIGQUIT: return .stop(number)
            case SIGTSTP: return suspend()
            case SIGWINCH: return .redraw
            default: continue
            }
        }
        return nil
    }

    private func fetchKey() -> Input? {
        var bytes = [UInt8](repeating: 0, count: 16)
        let count = read(STDIN_FILENO, &bytes, bytes.count)
        if count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN) { return .gone }
        guard count > 0 else { return nil }
        switch bytes[0] {
        case 3: return .stop(SIGINT)
        case 28: return .stop(SIGQUIT)
        case 26: return suspend()
        case 12: return .redraw
        // An arrow, or another key of several bytes.
        case 27 where count > 1: return nil
        case let byte: return .key(Character(UnicodeScalar(byte)))
        }
    }

    /// Stopped as the shell expects it, and here again after `fg`.
    private func suspend() -> Input {
        leave()
        raise(SIGSTOP)
        enter()
        return .redraw
    }
}
