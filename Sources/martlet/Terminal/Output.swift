import Glibc
import MartletConfig

/// Writing to stdout and stderr.
enum Output {
    static func write(_ text: String) { _ = write(Array(text.utf8), to: STDOUT_FILENO) }
    static func write(_ bytes: [UInt8]) { _ = write(bytes, to: STDOUT_FILENO) }

    static func write(_ json: JSONValue) { _ = stream(json) }

    /// The same for what has no end of its own: false when nobody reads it any more.
    static func stream(_ json: JSONValue) -> Bool {
        write(Array((json.description + "\n").utf8), to: STDOUT_FILENO)
    }

    /// To stderr.
    static func complain(_ text: String) { _ = write(Array(text.utf8), to: STDERR_FILENO) }

    static func fail(_ failure: Failure, isJSON: Bool) {
        complain((isJSON ? failure.json.description : printable(failure.line)) + "\n")
    }

    /// False when whoever should read it is gone, and there is nobody left to tell.
    private static func write(_ bytes: [UInt8], to file: Int32) -> Bool {
        var start = 0
        return bytes.withUnsafeBytes { buffer in
            while start < buffer.count {
                let count = Glibc.write(file, buffer.baseAddress! + start, buffer.count - start)
                if count < 0, errno == EINTR || errno == EAGAIN { continue }
                if count > 0 {
                    start += count
                    continue
                }
                guard file == STDOUT_FILENO, errno != EPIPE else { return false }
                // A script must not take half an answer for a whole one.
                complain("martlet: stdout can't be written: \(errorText(errno))\n")
                exit(ExitCode.refused.rawValue)
            }
            return true
        }
    }
}

/// What stdout or stderr is connected to.
struct Terminal {
    let isTerminal: Bool
    /// Whether a line can be written over.
    let canMoveCursor: Bool
    /// Nil where lines need not fit anything.
    let columns: Int?
    let rows: Int?
    let palette: Palette

    /// As they are now: a window changes its size.
    static var output: Terminal { Terminal(STDOUT_FILENO) }
    static var errors: Terminal { Terminal(STDERR_FILENO) }

    private init(_ file: Int32) {
        isTerminal = isatty(file) == 1
        var size = winsize()
        let isKnown = isTerminal && ioctl(file, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        columns = isKnown ? Int(size.ws_col) : nil
        rows = isKnown && size.ws_row > 0 ? Int(size.ws_row) : nil
        let isDumb = getenv("TERM").map { String(cString: $0) == "dumb" } ?? false
        // no-color.org: any value but an empty one counts.
        let isRefused = getenv("NO_COLOR").map { $0.pointee != 0 } ?? false
        canMoveCursor = isTerminal && !isDumb
        palette = Palette(isColoured: canMoveCursor && !isRefused)
    }
}

/// Colours, or none.
package struct Palette: Hashable, Sendable {
    package enum Colour: String, Sendable {
        case good = "32"
        case doubtful = "33"
        case bad = "31"
        case dim = "2"
        case strong = "1"
    }

    let isColoured: Bool

    package init(isColoured: Bool) { self.isColoured = isColoured }

    package func paint(_ text: String, _ colour: Colour?) -> String {
        guard isColoured, let colour, !text.isEmpty else { return text }
        return "\u{1B}[\(colour.rawValue)m\(text)\u{1B}[0m"
    }
}

/// The text without characters that would steer a terminal; line ends and tabs stay.
package func printable(_ text: String) -> String {
    var out = ""
    for scalar in text.unicodeScalars {
        switch scalar.value {
        case 9, 10: out.unicodeScalars.append(scalar)
        case 0..<32, 127..<160: out += "\\x" + String(scalar.value + 256, radix: 16).dropFirst()
        default: out.unicodeScalars.append(scalar)
        }
    }
    return out
}

/// The same on one line.
package func printableLine(_ text: String) -> String {
    printable(text).replacing("\n", with: "\\n").replacing("\t", with: "\\t")
}

/// The text cut to so many columns, with a … where it was cut.
package func truncated(_ text: String, to columns: Int) -> String {
    text.count <= columns ? text : columns < 1 ? "" : text.prefix(columns - 1) + "…"
}

/// The text in quotes, on one line, for a message.
package func quoted(_ text: String) -> String {
    "\"\(printableLine(text))\""
}
