import MartletBase
import MartletRESP

/// Clients that speak another protocol get an error and are closed.
///
/// For HTTP this is more than a courtesy: a web page can have a browser post lines of its choice to any
/// address the browser reaches, and Redis would carry them out. As in Redis, `POST` and `Host:` as commands
/// end the connection, and here so does any request line of HTTP.
extension RedisSession {
    /// Looks at a request that is no command, or has too many arguments for one. True when it was answered.
    func endHTTP(_ request: Request) -> Bool {
        let isRequestLine = request.count == 3 && hasPrefix(request[2], "HTTP/")
        guard
            isRequestLine || equalsIgnoringCase(request[0], "POST")
                || equalsIgnoringCase(request[0], "HOST:")
        else { return false }
        end(.http, "ERR this port speaks the Redis protocol, not HTTP: use a Redis client")
        return true
    }

    private func hasPrefix(_ argument: RawSpan, _ prefix: StaticString) -> Bool {
        argument.byteCount >= prefix.utf8CodeUnitCount
            && equalsIgnoringCase(argument.extracting(0..<prefix.utf8CodeUnitCount), prefix)
    }

    /// Looks at the first bytes of a connection. A TLS handshake may be without any line end, and would be
    /// waited on for ever. True when it was answered.
    func endTLS(_ bytes: RawSpan) -> Bool {
        // A record of the handshake. The byte alone decides, because the next ones may come later: no request
        // begins with it.
        let isHandshake = bytes.withUnsafeBytes { $0.first == 0x16 }
        guard isHandshake else { return false }
        row = CommandCounters.noRow
        end(.tls, "ERR this port speaks the Redis protocol without TLS: connect without it")
        return true
    }

    private func end(_ stranger: ForeignProtocol, _ text: String) {
        server.counters.countBadInput(stranger.rawValue)
        server.tell(.stranger(stranger, peer: peer))
        refuse(text)
        finishAfterReplies()
    }
}
