import MartletBase
import MartletStorage
import MartletVersions

extension RecordJoin {
    /// What the engines must know of Martlet's records.
    package static let records = RecordJoin(
        join: { first, second, out in
            switch Record.join(first.bytes, second.bytes, into: &out) {
            case .first: .first
            case .second: .second
            case .written: .written
            }
        },
        dropExpired: { record, cutoff, out in
            Record.dropExpired(record.bytes, before: cutoff.milliseconds, into: &out)
        },
        digest: { record, horizon in
            Record.digest(record.bytes, behind: horizon)
        },
        isPurgeable: { Record.isPurgeable($0.bytes) })
}
