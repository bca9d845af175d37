import MartletBase
import MartletVersions

/// How new a data folder is: what a node says of its own when it introduces itself, and what its peers
/// remember of it.
///
/// A folder that was set back, by whatever means, shows it in one of two ways. It was started again since it
/// was copied: then its epoch and boot number, which count the starts, come a second time. Or it wasn't: then
/// the node has said something since, and no frame bears a time above the ceiling of stamps that was made
/// durable before it, so the ceiling that the old folder gives back lies below a time that a peer has heard.
///
/// What escapes is a copy younger than the reservation of stamps reaches ahead (`HybridClock.reserveAhead`,
/// 2 s), put back before the node was started again; and any copy for as long as nobody is up who has heard
/// more (`Vouching`).
package struct FolderAge: Hashable, Sendable {
    /// The storage epoch: rises at each start that isn't the clean continuation of the last run.
    package var epoch: UInt64
    /// Counts the starts.
    package var boot: UInt32
    /// Drawn by each process for itself, so that one that connects again isn't taken for another.
    package var run: UInt64
    /// Of a folder: the stamp ceiling that was found in it. Of what is remembered: the greatest hybrid time
    /// that was heard from the node.
    package var time: HybridTime

    package init(epoch: UInt64, boot: UInt32 = 1, run: UInt64 = 0, time: HybridTime = .zero) {
        self.epoch = epoch
        self.boot = boot
        self.run = run
        self.time = time
    }

    package static let epochMax: UInt64 = 1 << 62

    /// Whether both are of one process.
    package func isSameRun(as other: FolderAge) -> Bool {
        epoch == other.epoch && boot == other.boot && run == other.run
    }

    /// Whether a folder of this age isn't the one of which so much is remembered, but an older copy.
    package func isOlder(than remembered: FolderAge) -> Bool {
        if isSameRun(as: remembered) { return false }
        return (epoch, boot) <= (remembered.epoch, remembered.boot) || time < remembered.time
    }

    package func write(to writer: inout ByteWriter) {
        writer.u64(epoch)
        writer.u32(boot)
        writer.u64(run)
        writer.u64(time.bits)
    }

    package init(from reader: inout ByteReader) throws(WireError) {
        epoch = try reader.u64()
        guard epoch < Self.epochMax else { throw .invalid("epoch") }
        boot = try reader.u32()
        run = try reader.u64()
        time = HybridTime(bits: try reader.u64())
        guard time <= .latest else { throw .invalid("stamp ceiling") }
    }
}

/// The first frame in each direction: who speaks, and in which dialects.
package struct Hello: Hashable, Sendable {
    package var protocolMin: UInt16
    package var protocolMax: UInt16
    package var cluster: String
    package var id: NodeID
    package var name: String
    package var folder: FolderAge

    /// The versions of this protocol that this program speaks.
    package static let protocolVersions: ClosedRange<UInt16> = 1...1

    package init(
        cluster: String, id: NodeID, name: String, folder: FolderAge,
        protocolVersions: ClosedRange<UInt16> = Self.protocolVersions
    ) {
        protocolMin = protocolVersions.lowerBound
        protocolMax = protocolVersions.upperBound
        self.cluster = cluster
        self.id = id
        self.name = name
        self.folder = folder
    }

    /// The dialect that both sides speak; nil when there is none.
    package func commonProtocol(with other: Hello) -> UInt16? {
        let highest = min(protocolMax, other.protocolMax)
        return highest >= max(protocolMin, other.protocolMin) ? highest : nil
    }
}

/// The last frame before a node closes a connection that it will not talk on, so that the other side can say
/// why.
package struct Farewell: Hashable, Sendable {
    package enum Reason: UInt8, Sendable {
        case wrongCluster = 1
        case noCommonProtocol = 2
        /// The folder is an older copy than the one this node remembers (`known`).
        case rolledBack = 3
        /// The id was removed from the ring.
        case removed = 4
        /// The address belongs to a node with another id.
        case wrongIdentity = 5
        case leaving = 6
        /// The ring knows the name under another id (`known`), whose node is gone: its folder was lost.
        case lostFolder = 7
        /// The ring knows the name under another id, whose node is alive, as far as this node knows.
        case nameTaken = 8
    }

    /// What the speaker remembers of the node that it turns away.
    package struct Known: Hashable, Sendable {
        package var id: NodeID
        package var folder: FolderAge

        package init(id: NodeID, folder: FolderAge) {
            self.id = id
            self.folder = folder
        }
    }

    package var reason: Reason
    package var text: String
    package var known: Known?

    package init(_ reason: Reason, _ text: String, known: Known? = nil) {
        self.reason = reason
        self.text = text
        self.known = known
    }
}

// MARK: The encoding

extension Hello {
    func write(to writer: inout ByteWriter) {
        writer.u16(protocolMin)
        writer.u16(protocolMax)
        writer.string(cluster)
        id.write(to: &writer)
        writer.string(name)
        folder.write(to: &writer)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        protocolMin = try reader.u16()
        protocolMax = try reader.u16()
        guard protocolMin <= protocolMax else { throw .invalid("protocol range") }
        cluster = try reader.string(max: Limits.nameBytesMax, "cluster name")
        id = try NodeID(from: &reader)
        name = try reader.string(max: Limits.nameBytesMax, "node name")
        folder = try FolderAge(from: &reader)
    }
}

extension Farewell {
    static let textBytesMax = 1_024

    func write(to writer: inout ByteWriter) {
        writer.u8(reason.rawValue)
        writer.string(String(text.prefix(Self.textBytesMax / 4)))
        writer.u8(known == nil ? 0 : 1)
        guard let known else { return }
        known.id.write(to: &writer)
        known.folder.write(to: &writer)
    }

    init(from reader: inout ByteReader) throws(WireError) {
        guard let reason = Reason(rawValue: try reader.u8()) else { throw .invalid("farewell") }
        self.reason = reason
        text = try reader.string(max: Self.textBytesMax, "farewell")
        guard try reader.bool("farewell") else { return }
        let id = try NodeID(from: &reader)
        known = Known(id: id, folder: try FolderAge(from: &reader))
    }
}
