import MartletRuntime
import MartletServer

extension Log {
    /// Puts what the Redis ports met into words.
    func write(_ report: ClientReport) {
        switch report {
        case .stranger(let spoken, let peer):
            write(
                .warn, .badClientBytes, [("client", peer), ("kind", spoken.rawValue)],
                "closed: it does not speak the Redis protocol; possibly an attack through a browser. Further "
                    + "ones of this minute are only counted")
        case .cut(let peer):
            write(
                .warn, .clientCut, [("client", peer)],
                "closed: it left more than requests.client_output_max unread. Further ones of this minute "
                    + "are only counted")
        case .tooManyClients(let peer):
            write(
                .warn, .clientsMax, [("client", peer)],
                "refused: there are requests.clients_max clients already. Further ones of this minute are "
                    + "only counted")
        }
    }
}
