import MartletBase
import MartletStorage
import StorageConformance
import Testing

@Suite struct MemoryEngineTests {
    private let engine = MemoryEngine(ToyRecord.rules)

    private func write(_ text: String, _ member: UInt8) throws {
        var batch = WriteBatch()
        batch.merge(StorageConformance.key(text), ToyRecord.set([member]))
        batch.putMeta(Blob("last"), Blob(text))
        try engine.write(batch)
    }

    /// Keys with their members, and the fact "last".
    private func contents() throws -> String {
        let page = try engine.scan(from: .empty, until: nil, limit: ScanLimit())
        let records = page.records.map { pair in
            Blob(Array(pair.key.bytes.dropFirst(StorageKey.prefixBytes))).description
                + pair.value.bytes.dropFirst().map { "\($0)" }.joined(separator: "+")
        }
        return (records + [try engine.readMeta(Blob("last"))?.description ?? "-"]).joined(separator: " ")
    }

    @Test(arguments: StorageConformance.cases)
    func conforms(_ conformanceCase: ConformanceCase) throws {
        try conformanceCase.run(engine)
    }

    @Test func aCrashKeepsWhatWasSyncedAndAPrefixOfTheRest() throws {
        try write("a", 1)
        try write("b", 2)
        _ = try engine.sync()
        try write("a", 3)
        try write("c", 4)
        try write("b", 5)
        #expect(engine.unsyncedBatches == 3)
        #expect(try contents() == "a1+3 b2+5 c4 b")
        engine.crash(keeping: 2)
        #expect(try contents() == "a1+3 b2 c4 c")
        #expect(engine.unsyncedBatches == 0, "what a restart found on the disk is durable")
        engine.checkInvariants()
        try write("d", 6)
        engine.crash(keeping: 0)
        #expect(try contents() == "a1+3 b2 c4 c")
        engine.checkInvariants()
    }

    @Test func aCrashTakesBackHintsAndTheirDeletions() throws {
        func change(_ body: (inout WriteBatch) -> Void) throws {
            var batch = WriteBatch()
            body(&batch)
            try engine.write(batch)
        }
        func list() throws -> [String] {
            try engine.scanHints(from: .empty, until: nil, limit: ScanLimit()).records
                .map { "\($0.key)=\($0.value)" }
        }
        try change { $0.putHint(Blob("a"), Blob("1")) }
        _ = try engine.sync()
        try change { $0.deleteHint(Blob("a")) }
        try change { $0.putHint(Blob("b"), Blob("2")) }
        #expect(try list() == ["b=2"])
        engine.crash(keeping: 0)
        #expect(try list() == ["a=1"])
        engine.checkInvariants()
        try change { $0.deleteHint(Blob("a")) }
        try change { $0.putHint(Blob("b"), Blob("2")) }
        engine.crash(keeping: 1)
        #expect(try list() == [])
        engine.checkInvariants()
    }

    @Test func aTornBatchIsDroppedWhole() throws {
        try write("a", 1)
        try write("b", 2)
        engine.crash(keeping: 2, tornTail: true)
        #expect(try contents() == "a1 a")
        try write("c", 3)
        engine.crash(keeping: 1, tornTail: true)
        #expect(try contents() == "a1 a")
    }

    @Test func aSyncCoversWhatWasWrittenBeforeItBegan() throws {
        try write("a", 1)
        let mark = engine.beginSync()
        try write("b", 2)
        let covered = try engine.finishSync(mark)
        #expect(covered == SequenceNumber(2))
        #expect(engine.unsyncedBatches == 1)
        engine.crash(keeping: 0)
        #expect(try contents() == "a1 a")
        engine.checkInvariants()
    }

    @Test func aSyncThatACrashOvertookCoversNothing() throws {
        try write("a", 1)
        _ = engine.beginSync()
        engine.crash(keeping: 0)
        #expect(try contents() == "-")
    }

    @Test func keysThatACrashTookAreGoneFromScansUntilWrittenAgain() throws {
        try write("b", 1)
        _ = try engine.sync()
        try write("a", 2)
        try write("c", 3)
        #expect(try contents() == "a2 b1 c3 c")
        engine.crash(keeping: 0)
        try write("c", 4)
        #expect(try contents() == "b1 c4 c")
        engine.crash(keeping: 0)
        try write("c", 5)
        try write("a", 6)
        #expect(try contents() == "a6 b1 c5 a")
        engine.checkInvariants()
    }

    @Test func aFailedSyncIsFinal() throws {
        try write("a", 1)
        engine.syncFault = "EIO"
        #expect(throws: StorageError.failedSync("EIO")) { try engine.sync() }
        #expect(throws: StorageError.failedSync("EIO")) { try engine.sync() }
        #expect(throws: StorageError.failedSync("EIO")) { try engine.write(WriteBatch()) }
        #expect(throws: StorageError.failedSync("EIO")) {
            try engine.read(StorageConformance.key("a"), tier: .any)
        }
        engine.crash(keeping: 0)
        #expect(try contents() == "-")
    }

    @Test func aRefusedBatchLeavesNothing() throws {
        try write("a", 1)
        engine.refusal = .diskFull
        #expect(throws: StorageError.refused(.diskFull)) { try write("b", 2) }
        engine.refusal = nil
        #expect(try contents() == "a1 a")
        #expect(engine.statistics().refusedDiskFull == 1)
    }

    /// Against a model that keeps a copy of the whole state after each batch.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func crashesAgreeWithAModel(seed: UInt64) throws {
        var random = Random(seed: seed)
        var states = [try contents()]
        for round in 0..<200 {
            switch random.below(10) {
            case 0:
                _ = try engine.sync()
                states.removeFirst(states.count - 1)
            case 1:
                let kept = random.below(states.count)
                engine.crash(keeping: kept)
                states = [states[kept]]
            default:
                try write("k\(random.below(8))", UInt8(random.below(256)))
                states.append(try contents())
            }
            let found = try contents()
            #expect(found == states.last, "seed \(seed), round \(round)")
            #expect(engine.unsyncedBatches == states.count - 1, "seed \(seed), round \(round)")
        }
        engine.checkInvariants()
    }
}
