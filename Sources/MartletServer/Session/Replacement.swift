import MartletBase
import MartletNode
import MartletVersions

/// What a command that reads first writes: SET with KEEPTTL or GET, VSET with KEEPTTL, GETSET, GETDEL,
/// APPEND, SETRANGE.
///
/// The read and the write are two requests of the core, not one step: of two that read the same value, the
/// later one replaces what the other wrote. docs/REDIS.md says so of each command.
struct Replacement {
    enum Content {
        case value(Blob)
        case appended(Blob)
        case overlaid(Blob, offset: Int)
        /// A tombstone, if there is something to delete.
        case removed
    }

    var content: Content
    /// Milliseconds since 1970; nil for never.
    var expiry: Int64?
    /// Of a live record; another takes `expiry`.
    var keepsExpiry = false
    var above: Stamp?
    /// Siblings: what a client has said to be replaced; else what was read is.
    var context: CausalContext?
    var version: Stamp?

    /// The new value and its length, on top of the live value that was read; nil for a tombstone.
    func value(on present: ArraySlice<UInt8>?) -> Blob? {
        switch content {
        case .value(let value): return value
        case .removed: return nil
        case .appended(let addition):
            guard let present else { return addition }
            return Blob(present + addition.bytes)
        case .overlaid(let overlay, let offset):
            var bytes = present.map { Array($0) } ?? []
            let end = offset + overlay.count
            if bytes.count < end { bytes += [UInt8](repeating: 0, count: end - bytes.count) }
            bytes.replaceSubrange(offset..<end, with: overlay.bytes)
            return Blob(bytes)
        }
    }

    /// Before the bytes are put together: how many there would be.
    func length(on present: Int) -> Int {
        switch content {
        case .value(let value): value.count
        case .removed: 0
        case .appended(let addition): present + addition.count
        case .overlaid(let overlay, let offset): max(present, offset + overlay.count)
        }
    }
}

/// The part of a value that GETRANGE answers, as Redis takes it: both ends belong to it, and negative ones
/// count from the end.
struct ValuePart {
    var first: Int64
    var last: Int64

    /// The part of a value of `count` bytes.
    func range(in count: Int) -> Range<Int> {
        let length = Int64(count)
        if first < 0 && last < 0 && first > last { return 0..<0 }
        let start = first < 0 ? max(0, length + first) : first
        var end = last < 0 ? max(0, length + last) : last
        end = min(end, length - 1)
        return start > end ? 0..<0 : Int(start)..<Int(end + 1)
    }
}

/// What an operation does once it has read.
enum SecondStep {
    case write(Put)
    /// Nothing is to be written: what was read is the reply.
    case done
    case refuse(String)
}
