import MartletBase
import MartletLoop
import MartletRuntime
import MartletStorage
import MartletVersions
import Testing

@Suite struct StorageDriverTests {
    /// What a driver answered, in order, as text.
    private final class Listener {
        var driver: StorageDriver!
        var heard: [String] = []
        var onHeard: (StorageCompletion) -> Void = { _ in }
    }

    private let key = StorageKey(keyspace: 0, token: 1, key: Blob("k"))
    private let record = Register(
        stamp: Stamp(time: HybridTime(bits: 1), writer: Writer(node: 1, boot: 1, shard: 0)), value: .tombstone
    ).encoded()

    private func merge(_ ticket: UInt64) -> StorageRequest { .merge(WriteTicket(ticket), key, record) }

    /// Runs a driver on a loop until the test stops it; returns what it answered.
    private func run(
        _ engine: FaultyEngine, _ durability: StorageDriver.Durability = .batch,
        reserve: @escaping @Sendable (UInt64) throws(StorageError) -> Void = { _ throws(StorageError) in },
        begin: (StorageDriver) -> Void,
        then react: @escaping (StorageDriver, StorageCompletion, _ count: Int) -> Bool
    ) throws -> [String] {
        let listener = Listener()
        try withLoop { loop in
            let driver = try StorageDriver(
                loop, engine: engine, durability: durability, dropAfter: .seconds(1), reserve: reserve,
                onCompletion: { [unowned listener, unowned loop] completion in
                    listener.heard.append(Self.text(completion))
                    if react(listener.driver, completion, listener.heard.count) { loop.stop() }
                })
            listener.driver = driver
            loop.onTurnEnd { driver.endTurn() }
            begin(driver)
        }
        listener.driver.shutDown()
        return listener.heard
    }

    private static func text(_ completion: StorageCompletion) -> String {
        switch completion {
        case .durable(let ticket): "durable \(ticket.number)"
        case .refused(let ticket, _): "refused \(ticket.number)"
        case .read(let ticket, let record): "read \(ticket.number) \(record == nil ? "nothing" : "a record")"
        case .scanned(let ticket, let page): "scanned \(ticket.number) \(page.records.count)"
        case .digested(let ticket, let page): "digested \(ticket.number) \(page.passed)"
        case .readRefused(let ticket, _): "read refused \(ticket.number)"
        case .stampsReserved(let ceiling): "reserved \(ceiling)"
        case .failed: "failed"
        }
    }

    @Test func theWritesOfATurnAreOneBatchAndOneSync() throws {
        let engine = FaultyEngine()
        let heard = try run(engine) { driver in
            for ticket in 1...50 { driver.carryOut(merge(UInt64(ticket))) }
        } then: { _, _, _ in
            true
        }
        #expect(heard == ["durable 50"])
        #expect(engine.counts == (1, 1))
    }

    @Test func aReadSeesTheMergesOfItsTurn() throws {
        let heard = try run(FaultyEngine()) { driver in
            driver.carryOut(.read(ReadTicket(1), key))
            driver.carryOut(merge(1))
            driver.carryOut(.read(ReadTicket(2), key))
        } then: { _, _, count in
            count == 3
        }
        #expect(heard == ["read 1 nothing", "read 2 a record", "durable 1"])
    }

    @Test func aScanSeesTheMergesOfItsTurn() throws {
        let all = StorageKey.position(keyspace: 0, token: 0)
        let heard = try run(FaultyEngine(), .periodic(.hours(1))) { driver in
            driver.carryOut(merge(1))
            driver.carryOut(.scan(ReadTicket(2), from: all, until: nil, ScanLimit()))
            driver.carryOut(.scan(ReadTicket(3), from: all, until: key.bytes, ScanLimit()))
        } then: { _, _, count in
            count == 3
        }
        #expect(heard == ["durable 1", "scanned 2 1", "scanned 3 0"])
    }

    @Test func refusedWritesAreAnsweredEachAndLaterOnesGoOn() throws {
        let engine = FaultyEngine()
        engine.change { $0.write = .refused(.diskFull) }
        let heard = try run(engine) { driver in
            driver.carryOut(merge(1))
            driver.carryOut(merge(2))
        } then: { driver, _, count in
            if count == 2 {
                engine.change { $0.write = nil }
                driver.carryOut(merge(3))
            }
            return count == 3
        }
        #expect(heard == ["refused 1", "refused 2", "durable 3"])
    }

    @Test func aSyncThatTheFullDiskRefusesIsTriedAgain() throws {
        let engine = FaultyEngine()
        engine.change { $0.sync = .refused(.diskFull) }
        let heard = try run(engine) { driver in
            driver.carryOut(merge(1))
            driver.carryOut(.reserveStamps(ceiling: 9))
        } then: { _, completion, _ in
            if case .stampsReserved = completion {
                engine.change { $0.sync = nil }
                return false
            }
            return true
        }
        #expect(heard == ["reserved 9", "durable 1"])
    }

    @Test func aFailedSyncIsSaidOnceAndNeverRetried() throws {
        let engine = FaultyEngine()
        engine.change { $0.sync = .failedSync("EIO") }
        let heard = try run(engine) {
            $0.carryOut(merge(1))
        } then: { driver, _, _ in
            driver.carryOut(merge(2))
            driver.endTurn()
            return true
        }
        #expect(heard == ["failed"])
        #expect(engine.counts.syncs == 1)
    }

    @Test func anUnhealthyEngineStopsTheNode() throws {
        let engine = FaultyEngine()
        engine.change { $0.health = .failed("background error") }
        #expect(
            try run(engine) { _ in
            } then: { _, _, _ in
                true
            } == ["failed"])
    }

    @Test func coldReadsGoToWorkersAndComeBack() throws {
        let engine = FaultyEngine()
        engine.change { $0.isCold = true }
        let heard = try run(engine) { driver in
            driver.carryOut(merge(1))
            for ticket in 1...20 { driver.carryOut(.read(ReadTicket(UInt64(ticket)), key)) }
        } then: { _, _, count in
            count == 21
        }
        #expect(heard.sorted() == (["durable 1"] + (1...20).map { "read \($0) a record" }).sorted())
    }

    @Test func aColdReadThatIsRefusedIsSaidSoAndOneThatFailsStopsTheNode() throws {
        let engine = FaultyEngine()
        engine.change {
            $0.isCold = true
            $0.coldRead = .refused(.stalled)
        }
        let heard = try run(engine) {
            $0.carryOut(.read(ReadTicket(1), key))
        } then: { driver, _, count in
            engine.change { $0.coldRead = .failed("checksum") }
            if count == 1 { driver.carryOut(.read(ReadTicket(2), key)) }
            return count == 2
        }
        #expect(heard == ["read refused 1", "failed"])
    }

    @Test func aReservationThatIsRefusedIsTriedAgain() throws {
        let engine = FaultyEngine()
        let attempts = Counter()
        let heard = try run(
            engine,
            reserve: { _ throws(StorageError) in
                if attempts.next() == 1 { throw .refused(.diskFull) }
            }
        ) {
            $0.carryOut(.reserveStamps(ceiling: 7))
        } then: { _, _, _ in
            true
        }
        #expect(heard == ["reserved 7"])
    }

    @Test func periodicDurabilityAnswersBeforeTheSync() throws {
        let engine = FaultyEngine()
        engine.change { $0.sync = .refused(.diskFull) }
        let heard = try run(engine, .periodic(.seconds(100))) {
            $0.carryOut(merge(1))
        } then: { _, _, _ in
            true
        }
        #expect(heard == ["durable 1"])
    }
}
