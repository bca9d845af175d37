/// Something about its clients that an operator should hear of, once in a while.
package enum ClientReport: Sendable {
    /// Bytes of another protocol than Redis's: a browser, a scanner, or an attack through one of them.
    case stranger(ForeignProtocol, peer: String)
    /// A client left more than `client_output_max` unread.
    case cut(peer: String)
    /// A connection was refused because of `clients_max`.
    case tooManyClients(peer: String)

    var kind: Int {
        switch self {
        case .stranger: 0
        case .cut: 1
        case .tooManyClients: 2
        }
    }
}

/// What is sometimes spoken to a port of Redis's.
package enum ForeignProtocol: String, Sendable {
    case http
    case tls
}
