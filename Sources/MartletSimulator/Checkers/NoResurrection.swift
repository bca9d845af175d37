import MartletBase
import MartletVersions

/// NoResurrection: what has been purged is never seen again.
///
/// A version of a key is *purged* from when a node first has a purge floor at or above it, if an owner then
/// holds it, and it is a tombstone, or a value that had expired by then: from that instant on any owner may
/// delete it. By then every owner holds it, so
///
/// 1. a read that begins later shows nothing, or a version above it, whatever its level and whoever is asked
///    (`read`);
/// 2. no owner's disk comes to hold a version below it again: what is there is above it, or nothing
///    (`Durable.stays`, which takes nothing for no less than what is purged).
///
/// That covers the promise to users: a key whose delete was acknowledged at QUORUM and that was not written
/// since is never read as present again. Until the delete is purged, Monotone says it.
struct NoResurrection {
    /// Of each key: the greatest version that is purged.
    private var purged: [HeldVersion]
    /// Of each key: versions that can be purged, and when they expire in milliseconds since 1970; zero for
    /// tombstones.
    private var deletions: [[HeldVersion: Int64]]
    /// Of each key: the greatest floor that a node has for its slot.
    private var floors: [HybridTime]
    private(set) var checked = 0

    init(keys: Int) {
        purged = Array(repeating: .none, count: keys)
        deletions = Array(repeating: [:], count: keys)
        floors = Array(repeating: .zero, count: keys)
    }

    /// A record was met, on its way to a disk.
    mutating func met(_ record: Blob, key: Int) {
        guard let view = try? RegisterView(record.span), let version = HeldVersion(of: record) else { return }
        guard view.isTombstone || view.expiry != nil else { return }
        deletions[key][version] = view.isTombstone ? 0 : view.expiry ?? 0
    }

    /// A node has raised the floor of the key's slot.
    ///
    /// - Parameter held: what the owners' disks hold, whatever crashes.
    mutating func raised(_ key: Int, to floor: HybridTime, held: [HeldVersion]) {
        floors[key] = max(floors[key], floor)
        for version in held where version > purged[key] && isHidden(key, version, behind: floor) {
            purged[key] = version
        }
    }

    private func isHidden(_ key: Int, _ version: HeldVersion, behind floor: HybridTime) -> Bool {
        guard let expiry = deletions[key][version] else { return false }
        return expiry <= floor.milliseconds && max(version.stamp.time, version.expiryStamp.time) <= floor
    }

    /// The only owner's disk was set back: what it had deleted, nobody remembers.
    mutating func lost(_ key: Int) { purged[key] = .none }

    func purged(_ key: Int) -> HeldVersion { purged[key] }

    /// Whether a disk that holds nothing holds no less than this.
    func isPurged(_ key: Int, _ version: HeldVersion) -> Bool { version <= purged[key] }

    /// Whether a read that shows nothing shows no less than this. A read may have fetched it before a put
    /// took its place on the disk, and answer after the floor has risen: it was hidden then, never purged.
    func mayHide(_ key: Int, _ version: HeldVersion) -> Bool {
        isPurged(key, version) || isHidden(key, version, behind: floors[key])
    }

    /// - Parameter purged: what was purged when the read began.
    mutating func read(
        _ operation: Operation, _ version: HeldVersion, purged: HeldVersion
    ) throws(Violation) {
        checked += 1
        guard version == .none || version >= purged else {
            throw Violation(
                "NoResurrection", key: operation.key,
                "\(operation.described) shows \(version), though \(purged) had been purged before it began")
        }
    }
}
