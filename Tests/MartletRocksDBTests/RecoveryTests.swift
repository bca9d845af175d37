import Glibc
import MartletBase
import MartletRocksDB
import MartletStorage
import StorageConformance
import Testing

/// What a start does with the folder that a crash, a bad disk or an operator left.
@Suite struct RecoveryTests {
    private let scratch = Scratch()

    fileprivate static func record(_ number: Int) -> Blob {
        ToyRecord.register(stamp: 1, value: String(repeating: "v", count: 100) + "\(number)")
    }

    private func write(_ engine: RocksDBEngine, _ numbers: Range<Int>) throws {
        for number in numbers {
            try StorageConformance.merge(
                engine, [(StorageConformance.key("k\(number)"), Self.record(number))])
        }
    }

    /// How many of the records are there, if they are the first ones without a gap.
    private func prefix(_ engine: RocksDBEngine, of count: Int) throws -> Int {
        let isPresent = try (0..<count).map {
            try StorageConformance.value(engine, StorageConformance.key("k\($0)")) == Self.record($0)
        }
        let found = isPresent.count { $0 }
        #expect(isPresent.prefix(found).allSatisfy { $0 }, "what is there is a prefix of what was written")
        return found
    }

    /// The folder as a crash leaves it that comes after 100 synced writes and 100 whose log was written,
    /// not synced.
    private func crashed() throws -> String {
        let engine = try scratch.engine()
        try write(engine, 0..<100)
        _ = try engine.sync()
        let mark = try Scratch.read(scratch.node + "/SYNCED")
        try write(engine, 100..<200)
        _ = try engine.sync()
        let left = try scratch.copy(scratch.node, as: "crashed")
        try Scratch.write(left + "/SYNCED", mark)
        return left
    }

    @Test func everythingInTheLogComesBack() throws {
        let engine = try scratch.engine(crashed())
        #expect(try prefix(engine, of: 200) == 200)
        #expect(engine.statistics().lastWritten == SequenceNumber(200))
    }

    @Test func aKilledProcessLosesNothingThatWasSynced() async throws {
        await #expect(processExitsWith: .signal(SIGKILL)) { [folder = scratch.node as String] in
            let engine = try RocksDBEngine(
                opening: DataFolder(
                    opening: folder, cluster: "test", name: "n1",
                    newNode: NodeID(short: 1, middle: 2, low: 3), now: WallTime(milliseconds: 0)),
                settings: Scratch.settings, rules: ToyRecord.rules)
            for number in 0..<5_000 {
                let key = StorageConformance.key("k\(number)")
                try StorageConformance.merge(engine, [(key, RecoveryTests.record(number))])
                if number == 3_999 { _ = try engine.sync() }
            }
            kill(getpid(), SIGKILL)
        }
        #expect(try scratch.open().start == .unclean)
        #expect((4_000...5_000).contains(try prefix(scratch.engine(), of: 5_000)))
    }

    @Test func aTornTailIsAnOrdinaryPowerCut() throws {
        let folder = try crashed()
        let log = try Scratch.log(in: folder)
        let bytes = try Scratch.read(log)
        for cut in [1, 20, bytes.count / 8] {
            let copy = try scratch.copy(folder, as: "cut\(cut)")
            try Scratch.write(Scratch.log(in: copy), Array(bytes.dropLast(cut)))
            do {
                let engine = try scratch.engine(copy)
                let found = try prefix(engine, of: 200)
                #expect((100..<200).contains(found), "\(cut) bytes cut off: \(found) records")
                // It goes on from there.
                try write(engine, found..<200)
                try engine.close()
            }
            #expect(try prefix(scratch.engine(copy), of: 200) == 200)
        }
    }

    @Test func aLogThatIsBadAboveTheMarkIsATailToo() throws {
        let folder = try crashed()
        let log = try Scratch.log(in: folder)
        var bytes = try Scratch.read(log)
        bytes[bytes.count * 3 / 4] ^= 0xFF
        try Scratch.write(log, bytes)
        #expect((100..<200).contains(try prefix(scratch.engine(folder), of: 200)))
    }

    @Test func aLogThatIsBadBelowTheMarkRefusesTheStartAndChangesNothing() throws {
        let folder = try crashed()
        let log = try Scratch.log(in: folder)
        var bytes = try Scratch.read(log)
        bytes[bytes.count / 4] ^= 0xFF
        try Scratch.write(log, bytes)
        let before = Scratch.list(folder + "/db").filter { !$0.hasPrefix("LOG") }
        for _ in 0..<2 {
            let error = try refusal { _ = try scratch.engine(folder) }
            guard case .lostWrites(folder, let recovered, let synced) = error else {
                Issue.record("another refusal: \(error)")
                return
            }
            #expect(recovered < 100 && synced == 100)
            #expect(error.isHelpful && error.description.contains(folder + "/SYNCED"))
            #expect(Scratch.list(folder + "/db").filter { !$0.hasPrefix("LOG") } == before)
            #expect(try Scratch.read(log) == bytes)
        }
    }

    @Test func aLogThatIsGoneRefusesTheStart() throws {
        let folder = try crashed()
        try #require(remove(Scratch.log(in: folder)) == 0)
        let error = try refusal { _ = try scratch.engine(folder) }
        #expect(error == .lostWrites(folder: folder, recovered: 0, synced: 100), "\(error)")
    }

    @Test func anEngineThatWasRolledBackRefusesTheStart() throws {
        do {
            let engine = try scratch.engine()
            try write(engine, 0..<50)
            try engine.close()
        }
        let old = try scratch.copy(scratch.node + "/db", as: "olddb")
        do {
            let engine = try scratch.engine()
            try write(engine, 50..<100)
            try engine.close()
        }
        Scratch.remove(scratch.node + "/db")
        _ = try scratch.copy(old, as: "n1/db")
        let error = try refusal { _ = try scratch.engine() }
        #expect(error == .lostWrites(folder: scratch.node, recovered: 50, synced: 100), "\(error)")
    }

    @Test func anEngineThatIsGoneIsNotMadeAnew() throws {
        let folder = try crashed()
        let current = folder + "/db/CURRENT"
        try #require(remove(current) == 0)
        #expect(try refusal { _ = try scratch.engine(folder) } == .missing(file: current))
        Scratch.remove(folder + "/db")
        #expect(try refusal { _ = try scratch.engine(folder) } == .missing(file: folder + "/db"))
        #expect(Scratch.list(folder + "/db") == [])
    }

    @Test func aDamagedTableFileIsNamed() throws {
        do {
            let engine = try scratch.engine()
            try write(engine, 0..<200)
            try engine.close()
        }
        let db = scratch.node + "/db/"
        let table = db + (try #require(Scratch.list(db).first { $0.hasSuffix(".sst") }))
        var bytes = try Scratch.read(table)
        // Too short: found when the engine opens.
        try Scratch.write(table, Array(bytes.dropLast(10)))
        let error = try refusal { _ = try scratch.engine() }
        guard case .corrupt(let file, _) = error else {
            Issue.record("another refusal: \(error)")
            return
        }
        #expect(file == table && error.isHelpful, "\(error)")
        // Bad bytes: found when they are read, and final.
        bytes[40] ^= 0xFF
        try Scratch.write(table, bytes)
        let engine = try scratch.engine()
        let failure = try #require(throws: StorageError.self) { _ = try prefix(engine, of: 200) }
        #expect(failure.description.contains(table), "\(failure)")
        #expect(throws: failure) { try write(engine, 0..<1) }
    }

    @Test func aDamagedManifestIsNamed() throws {
        let folder = try crashed()
        // While the engine replaces its manifest there are two.
        let current = try String(decoding: Scratch.read(folder + "/db/CURRENT"), as: UTF8.self)
        let manifest = folder + "/db/" + current.split(separator: "\n")[0]
        var bytes = try Scratch.read(manifest)
        bytes[bytes.count / 2] ^= 0xFF
        try Scratch.write(manifest, bytes)
        let error = try refusal { _ = try scratch.engine(folder) }
        guard case .corrupt(let file, _) = error else {
            Issue.record("another refusal: \(error)")
            return
        }
        #expect(file.hasPrefix(folder + "/db") && error.isHelpful, "\(error)")
    }

    @Test func aMarkThatCantBeReadRefusesTheStart() throws {
        let folder = try crashed()
        try Scratch.write(folder + "/SYNCED", [UInt8](repeating: 7, count: 8_192))
        let error = try refusal { _ = try scratch.engine(folder) }
        guard case .unreadable(folder + "/SYNCED", _) = error else {
            Issue.record("another refusal: \(error)")
            return
        }
        #expect(error.isHelpful)
        try #require(remove(folder + "/SYNCED") == 0)
        #expect(try refusal { _ = try scratch.engine(folder) } == .missing(file: folder + "/SYNCED"))
    }

    @Test func oneTornSlotOfTheMarkIsNoHarm() throws {
        let folder = try crashed()
        var bytes = try Scratch.read(folder + "/SYNCED")
        bytes[10] ^= 0xFF
        try Scratch.write(folder + "/SYNCED", bytes)
        #expect(try prefix(scratch.engine(folder), of: 200) == 200)
    }

    /// The log file is replaced, under the engine, by something that can't be synced.
    @Test func aFailedSyncIsFinal() throws {
        let engine = try scratch.engine()
        try write(engine, 0..<10)
        _ = try engine.sync()
        let log = try Scratch.log(in: scratch.node)
        let descriptor = try #require(
            Scratch.list("/proc/self/fd").compactMap { Int32($0) }.first { descriptor in
                var target = [CChar](repeating: 0, count: 4_096)
                let count = readlink("/proc/self/fd/\(descriptor)", &target, target.count - 1)
                return count > 0
                    && String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) == log
            })
        var pipes: [Int32] = [0, 0]
        try #require(pipe(&pipes) == 0)
        let kept = dup(descriptor)
        dup2(pipes[1], descriptor)
        try write(engine, 10..<20)
        let failure = try #require(throws: StorageError.self) { _ = try engine.sync() }
        guard case .failedSync = failure else {
            Issue.record("another failure: \(failure)")
            return
        }
        dup2(kept, descriptor)
        for number in pipes + [kept] { close(number) }
        #expect(throws: failure) { _ = try engine.sync() }
        #expect(throws: failure) { try write(engine, 20..<21) }
        #expect(throws: failure) { _ = try prefix(engine, of: 1) }
        #expect(throws: failure) { try engine.checkHealth() }
        #expect(throws: failure) { try engine.close() }
        // The next start has what was synced before.
        #expect(try prefix(scratch.engine(scratch.copy(scratch.node, as: "next")), of: 20) == 10)
    }
}
