import MartletBase
import MartletMerkle
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions
import MartletWire

/// Peers' exchanges: questions that nearly fit, and answers that are nearly true.
extension NodeWorld {
    func exchangeQuestion(_ input: inout FuzzInput) -> Event? {
        guard !subjects.isEmpty else { return nil }
        var (id, subject) = subjects[input.below(subjects.count)]
        guard let link = links.first(where: { $0.id == id })?.link else { return nil }
        subject.request = UInt64(input.u8())
        if input.below(8) == 7 { subject.placement = input.u64() }
        let message: Message
        switch input.below(4) {
        case 0:
            let root = input.below(2) == 0 ? 0 : input.u64()
            let children = (0..<MerkleTree.rootChildren).map { _ in input.below(16) == 15 ? 1 : 0 as UInt64 }
            message = .exchangeOpening(ExchangeOpening(subject: subject, root: root, children: children))
        case 1:
            let level = input.below(3)
            message = .exchangeDescent(
                ExchangeDescent(subject: subject, level: level, nodes: nodes(&input, level)))
        case 2: message = .exchangeListing(ExchangeListing(subject: subject, segments: segments(&input)))
        default:
            message = .mergeMany(
                MergeManyRequest(
                    request: subject.request, keyspace: subject.keyspace, placement: subject.placement,
                    records: records(&input)))
        }
        return .peer(link, id, time(&input), message)
    }

    func exchangeOutcome(
        _ input: inout FuzzInput, _ question: Message?, _ refusal: ReplicaRefusal
    ) -> ExchangeAnswer.Outcome {
        switch input.below(10) {
        case 0: return .refused(refusal)
        case 1: return .preparing(leavesLeft: Int(input.u8()))
        case 2: return .equal
        case 3: return .differing(level: 0, nodes(&input, 0))
        case 4: return .differing(level: 2, nodes(&input, 2))
        case 5, 6, 7:
            switch question {
            case .exchangeOpening: return .differing(level: 0, nodes(&input, 0))
            case .exchangeDescent(let descent):
                let slots = descent.nodes.prefix(4).map { $0.node << 4 + UInt32(input.below(16)) }
                return .differing(
                    level: 2, slots.map { NodeSums(node: $0, children: children(&input)) })
            default: break
            }
        default: break
        }
        guard case .exchangeListing(let listing) = question else { return .equal }
        let missing = listing.segments.map { segment in
            segment.tags.indices.filter { _ in input.below(2) == 0 }
        }
        var next: ExchangeDifferences.Next?
        if input.below(4) == 3, let segment = listing.segments.indices.randomIndex(&input) {
            let tokens = listing.segments[segment].tokens
            next = .init(
                segment: segment,
                token: input.below(4) == 3 ? input.u64() : tokens.lowerBound + UInt64(input.u16()))
        }
        let answered = next.map { $0.segment + 1 } ?? missing.count
        return .differences(
            ExchangeDifferences(
                records: input.below(3) == 0 ? records(&input) : [],
                missing: Array(missing.prefix(input.below(16) == 15 ? 0 : answered)), next: next))
    }

    private func children(_ input: inout FuzzInput) -> [UInt64] {
        (0..<MerkleTree.fanOut).map { _ in UInt64(input.below(2)) }
    }

    private func nodes(_ input: inout FuzzInput, _ level: Int) -> [NodeSums] {
        let count = MerkleTree.nodes(of: level)
        let nodes = Set((0..<input.below(4)).map { _ in UInt32(Int(input.u16()) % count) }).sorted()
        return nodes.map { NodeSums(node: $0, children: children(&input)) }
    }

    private func segments(_ input: inout FuzzInput) -> [ExchangeListing.Segment] {
        let leaves = Set((0..<input.below(4)).map { _ in Token(key: key(&input)).leaf.index }).sorted()
        return leaves.map { leaf in
            var tokens = MerkleTree.tokens(of: leaf)
            switch input.below(4) {
            case 2: tokens = MerkleTree.tokens(of: leaf...min(leaf + 3, UInt32(MerkleTree.leavesMax - 1)))
            case 3: tokens = (tokens.lowerBound + UInt64(input.u16()))...tokens.upperBound
            default: break
            }
            return ExchangeListing.Segment(
                tokens: tokens, tags: (0..<input.below(3)).map { _ in UInt64(input.u8()) })
        }
    }

    private func records(_ input: inout FuzzInput) -> [KeyedRecord] {
        (0..<input.below(4)).map { _ in KeyedRecord(key: key(&input), record: record(&input)) }
            .sorted { Token(key: $0.key) < Token(key: $1.key) }
    }
}

extension Range<Int> {
    fileprivate func randomIndex(_ input: inout FuzzInput) -> Int? {
        isEmpty ? nil : lowerBound + input.below(Swift.min(count, 256))
    }
}
