import MartletBase

/// What a node waits for after its start: that the others vouch for its data folder, which each does by
/// accepting its hello (`FolderAge`).
///
/// A folder that was set back shows no sign of it to its own node. Only a peer that has heard more of the
/// node than the folder knows can tell, and says so when the node introduces itself. A read that the node
/// answered before, or a put that it stamped, might miss what it had acknowledged. So until each other node
/// of the ring has accepted it, or is held dead, it answers no reads and its clients' puts wait, which takes
/// as long as the connections do; and after `Limits.vouchingMax` it goes on without those that are silent,
/// for a node must be able to start beside one that is lost.
///
/// What that leaves open: an older copy that only nodes could tell of which are dead or cut off at that time.
/// Copies made of files give themselves away by another sign (`DataFolder.Start.foreign`), so it takes an
/// image of the whole disk, or a volume's snapshot, together with another fault. When such a peer returns,
/// the node rebuilds from then on.
struct Vouching {
    /// Reads and puts go on then, whoever is still silent.
    var until: Instant
}
