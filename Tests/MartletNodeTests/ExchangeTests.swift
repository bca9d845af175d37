import MartletBase
import MartletMerkle
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire
import Testing

/// Owners compare what they hold, and what one of them lacks comes to it.
@Suite struct ExchangeTests {
    private func formed(
        _ nodes: Int = 2, interval: Interval = .seconds(4),
        keyspace: KeyspaceDefinition = ScriptedCluster.keyspace
    ) -> ScriptedCluster {
        let cluster = ScriptedCluster(nodes: nodes, keyspace: keyspace) {
            $0.repairInterval = interval
            $0.keepsHints = false
        }
        cluster.start()
        cluster.advance(.seconds(1))
        return cluster
    }

    private func record(_ number: Int, at time: Int64 = 1_600_000_000_000) -> Blob {
        let stamp = Stamp(
            time: HybridTime(WallTime(milliseconds: time + Int64(number))),
            writer: Writer(node: 1, boot: 1, shard: 0))
        return Register(stamp: stamp, value: .present(Blob("value \(number)"))).encoded()
    }

    private func stored(_ key: String) -> StorageKey {
        StorageKey(keyspace: 0, token: Token(key: Blob(key)).value, key: Blob(key))
    }

    /// What exchanges sent from now on.
    final class Tally {
        var messages: [Message] = []
        var bytes = 0
        /// Of it: keys and records.
        var payload = 0
        var questions = 0

        func attach(_ cluster: ScriptedCluster) {
            cluster.watch = { [self] _, _, message in
                switch message {
                case .exchangeOpening, .exchangeDescent, .exchangeListing, .mergeMany: questions += 1
                case .exchangeAnswer: break
                case .mergeAnswer: break
                default: return
                }
                var writer = ByteWriter()
                Frame(time: .zero, message: message).write(to: &writer)
                bytes += writer.count
                switch message {
                case .mergeMany(let request):
                    payload += request.records.reduce(0) { $0 + $1.key.count + $1.record.count }
                case .exchangeAnswer(let answer):
                    if case .differences(let it) = answer.outcome {
                        payload += it.records.reduce(0) { $0 + $1.key.count + $1.record.count }
                    }
                default: break
                }
                messages.append(message)
            }
        }
    }

    private func complete(_ cluster: ScriptedCluster) -> UInt64 {
        cluster.members.reduce(0) { $0 + $1.node.currentMetrics().exchangesComplete }
    }

    /// Runs on until one more exchange is complete.
    private func exchange(_ cluster: ScriptedCluster) {
        let before = complete(cluster)
        for _ in 0..<200 where complete(cluster) == before { cluster.advance(.milliseconds(50)) }
        #expect(complete(cluster) > before)
    }

    @Test func equalOwnersTakeOneRoundTripOfLessThanAKilobyte() {
        let cluster = formed()
        for i in 0..<300 {
            for member in cluster.members { member.disk[stored("k\(i)")] = record(i) }
        }
        let tally = Tally()
        tally.attach(cluster)
        exchange(cluster)
        #expect(tally.questions == 1 && tally.bytes < 1_024, "\(tally.questions), \(tally.bytes)")
    }

    @Test(arguments: [0, 1]) func oneKeyThatOneOwnerLacksComesToIt(_ owner: Int) {
        let cluster = formed()
        for i in 0..<300 {
            for member in cluster.members { member.disk[stored("k\(i)")] = record(i) }
        }
        cluster.members[owner].disk[stored("k7")] = nil
        let tally = Tally()
        tally.attach(cluster)
        exchange(cluster)
        #expect(cluster.members[0].disk == cluster.members[1].disk)
        #expect(cluster.stored(owner, "k7") != nil)
        #expect(tally.questions <= 5 && tally.bytes < 20 << 10, "\(tally.questions), \(tally.bytes)")
        // Nothing that both had was sent.
        #expect(tally.payload == 2 + record(7).count)
    }

    @Test func newerRecordsReplaceOlderOnesWhicheverSideHasThem() {
        let cluster = formed()
        for i in 0..<200 {
            let newer = record(i, at: 1_650_000_000_000)
            cluster.members[0].disk[stored("k\(i)")] = i % 3 == 0 ? newer : record(i)
            cluster.members[1].disk[stored("k\(i)")] = i % 3 == 1 ? newer : record(i)
        }
        exchange(cluster)
        #expect(cluster.members[0].disk == cluster.members[1].disk)
        for i in 0..<200 where i % 3 != 2 {
            #expect(cluster.members[0].disk[stored("k\(i)")] == record(i, at: 1_650_000_000_000))
        }
    }

    @Test func whatDiffersCostsLessThanThreeHundredBytesBesideItself() {
        let cluster = formed()
        for i in 0..<3_000 {
            for member in cluster.members { member.disk[stored("k\(i)")] = record(i) }
        }
        let lacking = (0..<40).map { $0 * 73 }
        for i in lacking { cluster.members[i % 2].disk[stored("k\(i)")] = nil }
        let tally = Tally()
        tally.attach(cluster)
        exchange(cluster)
        #expect(cluster.members[0].disk == cluster.members[1].disk)
        let overhead = tally.bytes - tally.payload
        #expect(overhead < 300 * lacking.count, "\(overhead / lacking.count) bytes a difference")
    }

    /// An owner that has nothing gets all, in as many messages as it takes.
    @Test func anEmptyOwnerGetsAll() {
        let cluster = formed()
        for i in 0..<6_000 { cluster.members[0].disk[stored("k\(i)")] = record(i) }
        // All of one slot, and more than one listing may hold of a leaf.
        for i in 0..<40_000 where i % 8 == 0 {
            cluster.members[0].disk[stored("{a}\(i)")] = record(i)
            if i % 16 == 0 { cluster.members[1].disk[stored("{a}\(i)")] = record(i) }
        }
        // Two of thousands of short tags in one leaf may well be alike: the next exchange has another salt.
        exchange(cluster)
        exchange(cluster)
        #expect(cluster.members[0].disk == cluster.members[1].disk)
    }

    @Test func onlyWhatBothOwnIsCompared() {
        let cluster = formed(
            5, keyspace: KeyspaceDefinition(id: 0, name: "default", stamp: 0, replication: .count(2)))
        for i in 0..<500 { cluster.members[i % 5].disk[stored("k\(i)")] = record(i) }
        cluster.advance(.seconds(12))
        guard let (_, placement) = cluster.members[0].node.placement(keyspace: 0) else {
            Issue.record("no placement")
            return
        }
        for i in 0..<500 {
            let owners = placement.owners(of: Token(key: Blob("k\(i)")).slot).array.map {
                placement.members[$0].id
            }
            let holder = cluster.members[i % 5].configuration.id
            let copies = cluster.members.indices.filter {
                cluster.members[$0].disk[stored("k\(i)")] != nil
            }
            let expected = cluster.members.indices.filter { j in
                j == i % 5
                    || owners.contains(holder) && owners.contains(cluster.members[j].configuration.id)
            }
            #expect(copies == expected, "k\(i)")
        }
    }

    /// It isn't complete before what it merged is durable on both sides.
    @Test(arguments: [0, 1]) func itIsCompleteWhenBothSidesHoldItDurably(_ slow: Int) {
        let cluster = formed()
        for i in 0..<20 { cluster.members[i % 2].disk[stored("k\(i)")] = record(i) }
        cluster.members[slow].holdsSync = true
        cluster.advance(.seconds(4))
        #expect(complete(cluster) == 0)
        cluster.sync(slow)
        cluster.advance(.seconds(3))
        #expect(complete(cluster) > 0)
        #expect(cluster.members[0].disk == cluster.members[1].disk)
    }

    @Test func aPeerThatIsSilentIsGivenUpAndAskedAgain() {
        let cluster = formed()
        cluster.drops = { _, _, message in message.kind == .exchangeAnswer }
        cluster.advance(.seconds(14))
        let failed = cluster.members.reduce(0) { $0 + $1.node.currentMetrics().exchangesFailed }
        #expect(failed > 0 && complete(cluster) == 0)
        cluster.drops = { _, _, _ in false }
        cluster.advance(.seconds(6))
        #expect(complete(cluster) > 0)
    }

    @Test func aPeerThatStopsInTheMiddleCostsNothingButTheExchange() {
        let cluster = formed(3)
        for i in 0..<20 { cluster.members[0].disk[stored("k\(i)")] = record(i) }
        cluster.holds = { _, _, message in message.kind == .exchangeListing }
        cluster.advance(.seconds(3))
        cluster.kill(2)
        cluster.release()
        cluster.advance(.seconds(14))
        #expect(cluster.members[0].disk == cluster.members[1].disk)
    }

    // MARK: Bad peers

    /// The opening that the beginner of the pair sends, which is kept from the other.
    private func keptOpening(_ cluster: ScriptedCluster) -> (from: Int, to: Int, ExchangeOpening)? {
        final class Box { var found: (Int, Int, ExchangeOpening)? }
        let box = Box()
        cluster.drops = { from, to, message in
            guard case .exchangeOpening(let opening) = message else { return false }
            box.found = (from, to, opening)
            return true
        }
        for _ in 0..<100 where box.found == nil { cluster.advance(.milliseconds(50)) }
        return box.found
    }

    @Test(arguments: 0..<6) func answersThatCantBeRightEndTheExchange(_ way: Int) throws {
        let cluster = formed()
        for i in 0..<20 { cluster.members[0].disk[stored("k\(i)")] = record(i) }
        let (beginner, other, opening) = try #require(keptOpening(cluster))
        let children = Array(repeating: UInt64(1), count: 16)
        let outcome: ExchangeAnswer.Outcome =
            switch way {
            case 0: .differing(level: 2, [NodeSums(node: 1, children: children)])
            case 1: .differing(level: 1, [NodeSums(node: 0, children: children)])
            case 2: .differences(ExchangeDifferences(records: [], missing: [], next: nil))
            case 3: .refused(.overloaded)
            case 4: .refused(.stalePlacement)
            default: .refused(.invalid)
            }
        let before = cluster.members[beginner].node.currentMetrics()
        cluster.forge(
            beginner, from: other, overOwnLink: true,
            .exchangeAnswer(ExchangeAnswer(request: opening.subject.request, outcome: outcome)))
        let after = cluster.members[beginner].node.currentMetrics()
        #expect(after.exchangesFailed == before.exchangesFailed + 1)
        #expect(after.badPeerBytes == before.badPeerBytes + (way < 3 ? 1 : 0))
        // Once more the same: it is nobody's answer any more.
        cluster.forge(
            beginner, from: other, overOwnLink: true,
            .exchangeAnswer(ExchangeAnswer(request: opening.subject.request, outcome: outcome)))
        cluster.drops = { _, _, _ in false }
        cluster.advance(.seconds(8))
        #expect(cluster.members[0].disk == cluster.members[1].disk)
    }

    @Test func recordsThatNobodyAskedForAreNotMerged() throws {
        let cluster = formed()
        final class Box { var listing: (Int, Int, ExchangeListing)? }
        let box = Box()
        for i in 0..<20 { cluster.members[0].disk[stored("k\(i)")] = record(i) }
        cluster.drops = { from, to, message in
            guard case .exchangeListing(let listing) = message else { return false }
            box.listing = (from, to, listing)
            return true
        }
        for _ in 0..<100 where box.listing == nil { cluster.advance(.milliseconds(50)) }
        let (beginner, other, listing) = try #require(box.listing)
        let foreign = KeyedRecord(key: Blob("nobody asked for it"), record: record(1))
        let differences = ExchangeDifferences(
            records: [foreign], missing: listing.segments.map { _ in [] }, next: nil)
        cluster.forge(
            beginner, from: other, overOwnLink: true,
            .exchangeAnswer(
                ExchangeAnswer(request: listing.subject.request, outcome: .differences(differences))))
        #expect(cluster.stored(beginner, "nobody asked for it") == nil)
        #expect(cluster.members[beginner].node.currentMetrics().badPeerBytes == 1)
    }

    /// Who has too many questions at the moment is asked again for what is left; the exchange goes on.
    @Test func aListingThatComesTooManyIsAskedAgain() {
        let cluster = formed()
        for i in 0..<20 { cluster.members[0].disk[stored("k\(i)")] = record(i) }
        final class Box { var refused = 0 }
        let box = Box()
        cluster.drops = { from, to, message in
            guard case .exchangeListing(let listing) = message, box.refused < 3 else { return false }
            box.refused += 1
            cluster.forge(
                from, from: to, overOwnLink: true,
                .exchangeAnswer(
                    ExchangeAnswer(request: listing.subject.request, outcome: .refused(.overloaded))))
            return true
        }
        exchange(cluster)
        #expect(box.refused == 3)
        #expect(cluster.members[0].disk == cluster.members[1].disk)
        #expect(cluster.members.allSatisfy { $0.node.currentMetrics().exchangesFailed == 0 })
    }

    @Test func listingsAndMergesOfWhatIsNotSharedAreRefused() throws {
        let cluster = formed(
            5, keyspace: KeyspaceDefinition(id: 0, name: "default", stamp: 0, replication: .count(2)))
        let (beginner, other, opening) = try #require(keptOpening(cluster))
        cluster.drops = { _, _, _ in false }
        let tally = Tally()
        tally.attach(cluster)
        let everything = MergeManyRequest(
            request: 1, keyspace: 0, placement: opening.subject.placement,
            records: (0..<40).map { KeyedRecord(key: Blob("k\($0)"), record: record($0)) })
        cluster.forge(other, from: beginner, .mergeMany(everything))
        let segments = (0..<16).map { slot in
            let token = UInt64(slot * 1_024) << 50
            return ExchangeListing.Segment(tokens: token...(token | (1 << 46 - 1)), tags: [])
        }
        cluster.forge(
            other, from: beginner,
            .exchangeListing(ExchangeListing(subject: opening.subject, segments: segments)))
        let refusals = tally.messages.compactMap { message -> ReplicaRefusal? in
            switch message {
            case .mergeAnswer(let answer):
                if case .refused(let refusal) = answer.outcome { refusal } else { nil }
            case .exchangeAnswer(let answer):
                if case .refused(let refusal) = answer.outcome { refusal } else { nil }
            default: nil
            }
        }
        #expect(refusals.filter { $0 == .invalid }.count >= 2)
        #expect(cluster.members[other].disk.isEmpty)
    }
}
