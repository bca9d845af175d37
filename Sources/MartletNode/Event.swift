import MartletBase
import MartletStorage
import MartletVersions
import MartletWire

/// Names one request of one client; the shell chooses it and gets it back with the reply.
package struct ClientTicket: Hashable, Sendable {
    package let number: UInt64
    @inlinable package init(_ number: UInt64) { self.number = number }
}

/// Names a connection that a peer opened to this node, for as long as it lives. Answers to requests go back
/// on it.
package struct LinkID: Hashable, Sendable {
    package let number: UInt64
    @inlinable package init(_ number: UInt64) { self.number = number }
}

/// A peer as this node counts them: dense, given once, never reused while the process runs. The shell keeps
/// one outgoing connection for each.
package struct PeerIndex: Hashable, Comparable, BitwiseCopyable, Sendable {
    package let number: UInt16
    @inlinable package init(_ number: UInt16) { self.number = number }
    @inlinable package static func < (a: PeerIndex, b: PeerIndex) -> Bool { a.number < b.number }
}

/// Everything that can happen to a node. Time and completions come in only here.
package enum Event: Sendable {
    /// The first event: the node may speak.
    case start
    case client(ClientTicket, ClientRequest)
    /// A peer's hello on a connection, which the shell has found to be of the right cluster and dialect. The
    /// node answers with `accept` or `refuse` for the same link.
    case hello(LinkID, Hello)
    /// A message on a connection whose hello was accepted: a request on a link that the peer opened, or an
    /// answer on the connection that this node opened to it.
    case peer(LinkID, NodeID, HybridTime, Message)
    case datagram(from: Address, Blob)
    case storage(StorageCompletion)
    /// The instant asked for by `Effect.wake` has come.
    case timer
    /// This node's outgoing connection to the peer is usable.
    case linkUp(PeerIndex)
    /// It broke, or could not be made: what was sent on it may be lost. The shell goes on trying.
    case linkDown(PeerIndex)
    /// The other side refused to talk on the connection that this node opened to it.
    case refusedByPeer(Address, Farewell)
    /// A gossip payload could not be delivered to an address.
    case streamFailed(Address)
    /// Finish what is in flight, say goodbye, then stop.
    case shutdown
}

/// What a node wants done. Effects are carried out in the order in which they were appended.
package enum Effect: Sendable {
    /// Answers a client's request; exactly one for each `Event.client`.
    case reply(ClientTicket, ClientReply)
    /// Where a peer is: given before the first `send` to it, and again when its address changes.
    case introduce(PeerIndex, NodeID, Address)
    /// The peer is gone for good: don't dial it again.
    case dismiss(PeerIndex)
    /// On this node's own connection to the peer. When the connection is not up and its queue is full, the
    /// shell drops the message and says `linkDown`.
    case send(PeerIndex, Message)
    /// On the link that a request came on; dropped when that is gone.
    case respond(LinkID, Message)
    case accept(LinkID, NodeID)
    /// Send the farewell and close the link.
    case refuse(LinkID, Farewell)
    /// A gossip payload over a connection to an address whose node may not be known yet.
    case stream(Address, Blob)
    case datagram(Address, Blob)
    case storage(StorageRequest)
    /// Send `Event.timer` at this instant; replaces what was asked for before.
    case wake(Instant)
    case report(Report)
    /// The node has stopped: no event is taken after this.
    case stopped(StopReason)
}

/// Why a node stopped.
package enum StopReason: Hashable, Sendable {
    case drained
    /// It has left the ring, and everything of it is with others.
    case left
    /// The storage can't be trusted (exit status 5).
    case storage(String)
    /// The cluster knows more of this node than its data folder does: it is to be started again, when the
    /// folder is what the order says. With why.
    case rebuild(RebuildOrder, String)
    /// The cluster knows something that forbids this node to serve with this data folder (exit status 5).
    case identity(String)
}

/// A buffer of effects that the shell empties and hands back, so that no event allocates one.
///
/// Places behind the last effect hold one that refers to nothing: an array that shrinks would destroy its
/// elements again, and one that is walked would copy them.
package struct EffectBuffer: ~Copyable {
    private var places: ContiguousArray<Effect> = []
    package private(set) var count = 0

    package init() { places.reserveCapacity(256) }

    package var isEmpty: Bool { count == 0 }
    package subscript(index: Int) -> Effect { places[index] }

    package mutating func append(_ effect: consuming Effect) {
        if count < places.count { places[count] = effect } else { places.append(effect) }
        count += 1
    }

    /// Hands out the effects in order, each moved out of its place. The buffer is empty afterwards.
    package mutating func drain<E>(_ body: (consuming Effect) throws(E) -> Void) throws(E) {
        let end = count
        count = 0
        for index in 0..<end {
            var effect = Effect.wake(.distantFuture)
            swap(&effect, &places[index])
            try body(consume effect)
        }
    }

    package mutating func removeAll() { drain { _ in } }
}
