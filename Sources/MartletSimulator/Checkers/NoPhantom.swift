import MartletBase
import MartletVersions

/// NoPhantom: every value read was written by some client to that key. And a stamp names one write for ever:
/// two writes never share one, over restarts and clock steps.
struct NoPhantom {
    /// What a stamp stands for: the key and the operation whose content it was; zero for a deletion.
    private struct Meaning: Equatable {
        var key: Int
        var source: UInt64
    }

    private var meanings: [Stamp: Meaning] = [:]
    /// By key: the expiries that operations asked for.
    private var expiries: [Set<Int64>]
    private(set) var checked = 0

    init(keys: Int) { expiries = Array(repeating: [], count: keys) }

    /// Whether the stamp names a deletion.
    func isDeletion(_ stamp: Stamp) -> Bool { meanings[stamp]?.source == 0 }

    mutating func asked(_ key: Int, expiry: Int64) { expiries[key].insert(expiry) }

    /// A record is on its way to a disk, or is shown to a client.
    ///
    /// - Returns: the operation whose value it holds; nil for a deletion.
    mutating func met(
        _ record: Blob, key: Int, operations: borrowing OperationLog
    ) throws(Violation) -> UInt64? {
        checked += 1
        guard let view = try? RegisterView(record.span) else {
            throw Violation("NoPhantom", key: key, "k\(key) holds bytes that are no record: \(record)")
        }
        let source: UInt64
        switch view.state {
        case .tombstone: source = 0
        case .dropped: return nil
        case .present:
            let value = record.span.extracting(view.valueOffset..<record.count)
            source = WorkloadValues.operation(of: value) ?? 0
            guard let writer = operations[source], writer.key == key, writer.kind == .put else {
                throw Violation(
                    "NoPhantom", key: key, "k\(key) holds a value that no client wrote to it: \(record)")
            }
            guard writer.state != .refused || writer.wasSent else {
                throw Violation(
                    "NoPhantom", key: key,
                    "k\(key) holds the value of operation \(source), which was refused as if nothing "
                        + "had been sent"
                )
            }
        }
        if source != 0, let written = operations[source]?.written, view.stamp > written {
            throw Violation(
                "NoPhantom", key: key,
                "the value of operation \(source) was acknowledged as \(written), and comes again as "
                    + "\(view.stamp): it would win against writes that came after it")
        }
        if let expiry = view.expiry, !expiries[key].contains(expiry) {
            throw Violation(
                "NoPhantom", key: key, "k\(key) holds an expiry that no client asked for: \(expiry)")
        }
        let meaning = Meaning(key: key, source: source)
        if let known = meanings[view.stamp] {
            guard known == meaning else {
                throw Violation(
                    "NoPhantom", key: key,
                    "the stamp \(view.stamp) names two writes: operation \(known.source) of "
                        + "k\(known.key) and operation "
                        + "\(source) of k\(key)")
            }
        } else {
            meanings[view.stamp] = meaning
        }
        return source == 0 ? nil : source
    }
}

/// All operations by number, from 1.
struct OperationLog {
    private(set) var all: ContiguousArray<Operation> = []

    var nextNumber: UInt64 { UInt64(all.count + 1) }

    subscript(number: UInt64) -> Operation? {
        number >= 1 && number <= UInt64(all.count) ? all[Int(number - 1)] : nil
    }

    mutating func append(_ operation: Operation) {
        invariant(operation.number == nextNumber, "operations are numbered in order")
        all.append(operation)
    }

    mutating func update(_ number: UInt64, _ body: (inout Operation) -> Void) { body(&all[Int(number - 1)]) }

    /// Those that wait for their answer; the first of them is at or after the number.
    mutating func updatePending(from number: UInt64, _ body: (inout Operation) -> Void) {
        for index in Int(number - 1)..<all.count where all[index].state == .pending { body(&all[index]) }
    }

    /// Those without an answer yet, the oldest first; `from` is where to begin.
    func firstPending(from number: UInt64) -> UInt64 {
        var number = max(1, number)
        while number <= UInt64(all.count), all[Int(number - 1)].state != .pending { number += 1 }
        return number
    }
}
