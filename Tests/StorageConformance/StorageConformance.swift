import MartletBase
import MartletStorage

/// What every storage engine must do, as cases that take a fresh, empty engine made with `ToyRecord.rules`.
/// A case throws `Broken` when the engine doesn't.
package struct ConformanceCase: Sendable, CustomStringConvertible {
    package let name: String
    package let run: @Sendable (any StorageEngine) throws -> Void

    package var description: String { name }
}

/// The promise that an engine broke.
package struct Broken: Error, CustomStringConvertible {
    package let description: String
}

func require(_ condition: Bool, _ promise: @autoclosure () -> String) throws {
    if !condition { throw Broken(description: promise()) }
}

func requireEqual<Value: Equatable>(
    _ found: Value, _ expected: Value, _ promise: @autoclosure () -> String
) throws {
    if found != expected {
        throw Broken(description: "\(promise()): found \(found), expected \(expected)")
    }
}

package enum StorageConformance {
    package static let cases: [ConformanceCase] =
        [
            ConformanceCase(name: "what was never written is absent", run: absent),
            ConformanceCase(name: "a write is read at once", run: readYourWrite),
            ConformanceCase(name: "a batch's merges of one key all count", run: oneKeyInABatch),
            ConformanceCase(name: "the order and grouping of merges make no difference", run: laws),
            ConformanceCase(name: "repeated merges make no difference", run: idempotence),
            ConformanceCase(name: "undecodable bytes lose", run: undecodable),
            ConformanceCase(name: "empty and large records are kept", run: sizes),
            ConformanceCase(name: "facts are overwritten and listed by prefix", run: facts),
            ConformanceCase(name: "facts and records are apart", run: apart),
            ConformanceCase(name: "hints are kept in order until they are deleted", run: hints),
            ConformanceCase(name: "what is deleted is gone until it is written again", run: deletions),
            ConformanceCase(name: "a keyspace is deleted whole, and no other", run: deletedKeyspace),
            ConformanceCase(name: "an empty batch changes nothing", run: emptyBatch),
            ConformanceCase(name: "scans go in the order of the bytes, within their bounds", run: scanOrder),
            ConformanceCase(name: "a scan in pages misses and repeats nothing", run: scanPages),
            ConformanceCase(name: "numbers rise, and a sync covers what came before it", run: numbers),
            ConformanceCase(
                name: "an expired value goes after two compactions, its stamp stays", run: expiry),
            ConformanceCase(name: "a later write outlives an expired one", run: expiryThenWrite),
            ConformanceCase(name: "reads from memory alone are never wrong", run: memoryTier),
            ConformanceCase(name: "a closed engine refuses", run: closed),
        ]
        + (1...5).map { seed in
            ConformanceCase(name: "it agrees with a model, seed \(seed)") {
                try agreesWithModel($0, seed: UInt64(seed))
            }
        }

    package static func key(_ text: String, token: UInt64 = 0) -> StorageKey {
        StorageKey(keyspace: 0, token: token, key: Blob(text))
    }

    package static func value(_ engine: any StorageEngine, _ key: StorageKey) throws -> Blob? {
        switch try engine.read(key, tier: .any) {
        case .found(let record): record
        case .absent: nil
        case .cold: throw Broken(description: "a read that may use the disk was answered \"cold\"")
        }
    }

    package static func merge(_ engine: any StorageEngine, _ pairs: [(StorageKey, Blob)]) throws {
        var batch = WriteBatch()
        for (key, record) in pairs { batch.merge(key, record) }
        try engine.write(batch)
    }
}
