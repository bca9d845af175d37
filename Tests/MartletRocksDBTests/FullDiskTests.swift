import Glibc
import MartletBase
import MartletRocksDB
import MartletStorage
import StorageConformance
import Testing

/// A disk of 64 MiB that fills up, suddenly, and is freed again. Needs root, to mount it.
@Suite(.serialized, .enabled(if: getuid() == 0, "a disk that fills up needs root, to mount one"))
struct FullDiskTests {
    private let scratch = Scratch()
    private var disk: String { scratch.path + "/disk" }

    private func withDisk(_ body: () throws -> Void) throws {
        mkdir(disk, 0o755)
        guard mount("tmpfs", disk, "tmpfs", 0, "size=64m") == 0 else {
            print("skipped: this machine doesn't let root mount a disk")
            return
        }
        defer { umount2(disk, Int32(MNT_DETACH)) }
        try body()
    }

    private var filler: String { disk + "/filler" }

    /// Takes all the space that is left.
    private func fill() throws {
        let file = try #require(fopen(filler, "ae"))
        let block = [UInt8](repeating: 1, count: 64 << 10)
        setvbuf(file, nil, _IONBF, 0)
        while fwrite(block, 1, block.count, file) == block.count {}
        fclose(file)
    }

    /// Gives the space back. Truncated first, because a process that another test is starting just now may
    /// hold the file open, and a removed file keeps its space for as long.
    private func free() {
        truncate(filler, 0)
        remove(filler)
    }

    /// A register whose value doesn't compress.
    private func record(_ number: Int) -> Blob {
        var random = Random(seed: UInt64(number))
        var writer = ByteWriter()
        writer.raw(ToyRecord.register(stamp: 1, value: "v"))
        for _ in 0..<125 { writer.u64(random.next()) }
        return Blob(writer.bytes)
    }

    private func write(_ engine: RocksDBEngine, _ number: Int) throws {
        while true {
            do {
                return try StorageConformance.merge(
                    engine, [(StorageConformance.key("k\(number)"), record(number))])
            } catch let error as StorageError {
                guard error == .refused(.stalled) else { throw error }
            }
        }
    }

    private func missing(_ engine: RocksDBEngine, _ count: Int) throws -> [Int] {
        try (0..<count).filter {
            try StorageConformance.value(engine, StorageConformance.key("k\($0)")) != record($0)
        }
    }

    /// Calls again while it is refused. RocksDB looks every five seconds whether there is space again.
    private func untilHealed(_ engine: RocksDBEngine, _ call: () throws -> Void) throws {
        let deadline = time(nil) + 60
        while true {
            try engine.checkHealth()
            do {
                return try call()
            } catch let error as StorageError {
                guard case .refused = error, time(nil) < deadline else { throw error }
                usleep(10_000)
            }
        }
    }

    @Test func aDiskThatFillsUpRefusesWritesUntilItIsFreed() throws {
        try withDisk {
            var acknowledged = 0
            do {
                let engine = try scratch.engine(disk + "/n1")
                while acknowledged < 8_000 {
                    try write(engine, acknowledged)
                    acknowledged += 1
                    if acknowledged % 64 == 0 { _ = try engine.sync() }
                }
                try fill()
                // What is taken before the engine looks again is still made durable: its log has its space
                // already.
                var written = acknowledged
                #expect(throws: StorageError.refused(.diskFull)) {
                    while written < 12_000 {
                        try write(engine, written)
                        written += 1
                        if written % 64 == 0 { _ = try engine.sync() }
                    }
                }
                _ = try engine.sync()
                acknowledged = written
                #expect(engine.refusal == .diskFull)
                #expect(try missing(engine, acknowledged) == [])
                // RocksDB itself meets the full disk, when no compaction frees some space meanwhile.
                while engine.statistics().isCompacting { sched_yield() }
                try fill()
                #expect(throws: StorageError.refused(.diskFull)) { try engine.compact() }
                #expect(throws: StorageError.refused(.diskFull)) { try write(engine, written) }
                free()
                try untilHealed(engine) { try write(engine, acknowledged) }
                _ = try engine.sync()
                acknowledged += 1
                #expect(try missing(engine, acknowledged) == [])
            }
            #expect(try missing(scratch.engine(disk + "/n1"), acknowledged) == [])
        }
    }

    @Test func aFullDiskRefusesTheStart() throws {
        try withDisk {
            do {
                let engine = try scratch.engine(disk + "/n1")
                for number in 0..<100 { try write(engine, number) }
                _ = try engine.sync()
            }
            try fill()
            let error = try refusal { _ = try scratch.engine(disk + "/n1") }
            guard case .full = error else {
                Issue.record("another refusal: \(error)")
                return
            }
            free()
            #expect(try missing(scratch.engine(disk + "/n1"), 100) == [])
        }
    }
}
