import MartletBase
import MartletRing
import MartletVersions

/// One read or write of one key, or one page of a scan, as any client may ask any node.
package struct ClientRequest: Sendable {
    package enum Operation: Sendable {
        case get
        /// This node's stored copy, owner or not, without coordination.
        case getLocal
        case put(Put)
        case scan(Scan)
        /// Of what keyspaces there are; the request's own keyspace and key mean nothing then.
        case change(KeyspaceChange)
        /// Of who is in the ring.
        case ring(RingAct)
    }

    /// A keyspace's id.
    package var keyspace: UInt32
    /// `.empty` for a scan, which has a range instead, and for a change.
    package var key: Blob
    package var operation: Operation
    /// Nil: the keyspace's own level.
    package var level: ConsistencyLevel?
    /// Nil: `requests.timeout`.
    package var timeout: Interval?

    package init(
        keyspace: UInt32, key: Blob, operation: Operation, level: ConsistencyLevel? = nil,
        timeout: Interval? = nil
    ) {
        self.keyspace = keyspace
        self.key = key
        self.operation = operation
        self.level = level
        self.timeout = timeout
    }
}

/// What an operator wants of the ring.
package enum RingAct: Hashable, Sendable {
    /// The node that is asked gives its slots to others and goes.
    case leave
    /// A dead node is given up: others take its slots. Of a joining node: it doesn't join.
    case remove(NodeID)
    /// A node that joins, leaves or moves does not.
    case abort(NodeID)
    /// The node that is asked takes these tokens and this zone in place of its own; nil: as they are.
    case move(tokens: [Slot]?, zone: String?)
}

/// Why nothing was done.
package enum RingActRefusal: Error, Hashable, Sendable {
    /// The ring knows no such node.
    case unknownNode
    /// A node that is to be removed is alive.
    case alive
    /// Fewer nodes would be left than some keyspace has copies.
    case tooFew
    /// Nothing that could be called off is under way.
    case notChanging
    /// The change in hand may be about to be completed, and not all voters answer.
    case busy
    /// Tokens are missing, too many, or named twice.
    case badTokens
    /// Another node has one of the tokens, or wants it.
    case tokensTaken
    /// The node joins, or leaves.
    case changing
    /// The ring is full.
    case noRoom
    /// This node has just started, is rebuilt, or isn't in the ring itself.
    case notServing
}

/// A write of a key's value.
package struct Put: Sendable {
    package enum Content: Sendable {
        /// A new value; expiry in milliseconds since 1970, nil for none.
        case value(Blob, expiry: Int64?)
        case tombstone
        /// The encoded record as it was read, with another expiry: EXPIRE, PERSIST. Never revives what a
        /// later write replaced, because it keeps the value's stamp.
        case expiry(of: Blob, Int64?)
    }

    package var content: Content
    /// A register's causal context: the put is stamped above it.
    package var above: Stamp?
    /// Siblings: what the put replaces.
    package var context: CausalContext
    /// Send again exactly this version, which a `timeout` named: the retry can't overtake a later write.
    package var version: Stamp?

    package init(
        _ content: Content, above: Stamp? = nil, context: CausalContext = .empty, version: Stamp? = nil
    ) {
        self.content = content
        self.context = context
        self.above = above
        self.version = version
    }
}

/// One page of the live keys of a part of the ring, in the order of their tokens.
///
/// A key that is present throughout a scan, page after page, is in one of its pages; one that is written or
/// deleted meanwhile may or may not be. No page splits the keys of one token, so a page ends between two
/// tokens and the next one begins at `KeyPage.next`.
package struct Scan: Hashable, Sendable {
    package enum Wanted: Hashable, Sendable {
        /// The keys themselves: about so many, fewer when a limit of bytes or the owners of the range change
        /// before, more when many keys share the last token.
        case keys(about: Int)
        /// Only how many there are.
        case count
    }

    package var range: ClosedRange<Token>
    package var wanted: Wanted

    package init(_ range: ClosedRange<Token>, _ wanted: Wanted) {
        self.range = range
        self.wanted = wanted
    }
}

/// The answer to a `Scan`.
package struct KeyPage: Hashable, Sendable {
    /// Empty when only the count was wanted.
    package var keys: [Blob]
    package var count: Int
    /// Where the next page begins; nil when the range is finished. A page may be empty and yet not the last.
    package var next: Token?

    package init(keys: [Blob], count: Int, next: Token?) {
        self.keys = keys
        self.count = count
        self.next = next
    }
}

/// What became of a client's request.
package enum ClientReply: Sendable {
    /// The merged encoded record; nil when no replica that was asked ever saw the key. Whether it has expired
    /// is for the shell's side of the coordinator to judge (`RegisterView.isLive`).
    case read(Blob?)
    /// Acknowledged at the level asked for; the stamp is the version that was written.
    case written(Stamp)
    case scanned(KeyPage)
    /// The ring is to change, and this node remembers it durably; the change takes its time.
    case acted
    /// A change of keyspaces is durable at every node that lives; what it made of their definitions.
    case defined([KeyspaceDefinition])
    case failed(RequestFailure)
}

package enum OperationKind: String, Sendable {
    case read, write
    /// A change of keyspaces.
    case define
}

/// The exact outcomes. `unavailable`, `overloaded`, `skew`, `loading` and `stopping`: nothing was
/// sent. `timeout`: the write may have happened, and repair will finish it; after any send it is never one of
/// the others. Lists are node names, sorted.
package enum RequestFailure: Hashable, Sendable {
    case unavailable(
        OperationKind, ConsistencyLevel, required: Int, alive: Int, up: [String], down: [String])
    case timeout(
        OperationKind, ConsistencyLevel, required: Int, acknowledged: Int, acked: [String],
        unknown: [String], version: Stamp?, after: Interval)
    case overloaded(node: String, limit: StaticName)
    case skew(node: String, aheadMilliseconds: Int64, maxMilliseconds: Int64)
    /// A key would have more concurrent versions, or more bytes of them, than it may.
    case siblings(limit: StaticName, found: Int, max: Int)
    /// The ring is forming: the founding nodes not heard yet.
    case loading(waits: [String])
    case stopping
    case noSuchKeyspace(UInt32)
    case keyspace(KeyspaceRefusal)
    /// A level that this operation can't have (ANY for a read).
    case badLevel(ConsistencyLevel)
    case ringAct(RingActRefusal)
    /// The local copy could not be read.
    case localRead(StaticName)
}
