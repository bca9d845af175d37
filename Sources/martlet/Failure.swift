import MartletConfig

/// Why a command did not do what it was told: what is printed, and the exit status.
package struct Failure: Error, Hashable, Sendable {
    package let status: ExitCode
    /// The server's prefix, or one of USAGE, CONFIGURATION, UNREACHABLE, REFUSED.
    package let code: String
    package let text: String

    package init(_ status: ExitCode, _ code: String, _ text: String) {
        self.status = status
        self.code = code
        self.text = text
    }

    static func usage(_ text: String) -> Failure { Failure(.usage, "USAGE", text) }
    static func refused(_ text: String) -> Failure { Failure(.refused, "REFUSED", text) }

    static func configuration(_ error: ConfigurationError) -> Failure {
        Failure(.configuration, "CONFIGURATION", error.description)
    }

    /// From a server's error line, `PREFIX name=value ...: sentence`.
    package static func server(_ line: String) -> Failure {
        let prefix = line.prefix { $0 != " " }
        let isPrefix = !prefix.isEmpty && prefix.allSatisfy { $0.isASCII && ($0.isUppercase || $0 == "_") }
        let code = isPrefix ? String(prefix) : "ERR"
        let text = isPrefix ? String(line.dropFirst(prefix.count).drop { $0 == " " }) : line
        let status: ExitCode =
            switch code {
            case "UNAVAILABLE": .unavailable
            case "TIMEOUT": .timeout
            default: .refused
            }
        return Failure(status, code, text)
    }

    /// For people: the server's own prefixes are part of what they know it by.
    package var line: String {
        let ownCodes = ["USAGE", "CONFIGURATION", "UNREACHABLE", "REFUSED"]
        return "martlet: " + (ownCodes.contains(code) ? "" : "\(code) ") + text
    }

    package var json: JSONValue {
        .object([("error", .object([("code", .string(code)), ("text", .string(text))]))])
    }
}
