import MartletBase

/// What the network between the machines does: delays, losses, and who can reach whom. The connections are in
/// `Simulation+Links.swift`; this only draws what befalls them.
struct SimulatedNetwork {
    struct Conditions {
        var datagramLoss = 0.0
        var datagramDuplication = 0.0
        /// The share of datagrams that are late by up to `delayMax`, and so overtaken by others.
        var datagramDelay = 0.0
        var datagramCorruption = 0.0
        /// The share of frames in which a bit flips without TCP noticing.
        var frameCorruption = 0.0
        /// The share of segments that must be sent again.
        var segmentLoss = 0.0
        /// The share of sends upon which the connection is reset.
        var reset = 0.0
        /// The share of packets and frames that take up to `delayMax`.
        var spikes = 0.0
        var delayMax: Interval = .milliseconds(300)

        var isPerfect: Bool {
            datagramLoss + datagramDuplication + datagramDelay + datagramCorruption + frameCorruption
                + segmentLoss
                + reset + spikes == 0
        }
    }

    /// The first retransmission of a segment that was lost, on Linux.
    static let retransmission = Interval.milliseconds(200)

    var conditions = Conditions()
    private var random: Random
    private let machines: Int
    /// By from * machines + to: the least time on the way.
    private let latencyMin: [Interval]
    /// By from * machines + to: how many faults block the way.
    private var blocks: [Int]

    init(random: Random, machines: Int, latencyMin: [Interval]) {
        invariant(latencyMin.count == machines * machines, "every pair of machines has a latency")
        self.random = random
        self.machines = machines
        self.latencyMin = latencyMin
        blocks = Array(repeating: 0, count: machines * machines)
    }

    // MARK: Ways

    func isBlocked(_ from: Int, _ to: Int) -> Bool { blocks[from * machines + to] > 0 }
    /// Whether a conversation is possible.
    func isOpen(_ a: Int, _ b: Int) -> Bool { !isBlocked(a, b) && !isBlocked(b, a) }

    mutating func block(_ from: Int, _ to: Int) { blocks[from * machines + to] += 1 }
    mutating func unblock(_ from: Int, _ to: Int) {
        blocks[from * machines + to] -= 1
        invariant(blocks[from * machines + to] >= 0, "a way was opened that wasn't blocked")
    }

    /// Whether anything now hinders messages between machines.
    var isDisturbed: Bool { !conditions.isPerfect || blocks.contains { $0 > 0 } }

    mutating func unblockAll() {
        for way in blocks.indices { blocks[way] = 0 }
    }

    // MARK: Delays

    mutating func latency(_ from: Int, _ to: Int) -> Interval {
        let least = latencyMin[from * machines + to]
        // Most are near the least, a few take several times as long.
        let jitter = random.fraction()
        var latency = least + least.scaled(by: 2 * jitter * jitter * jitter)
        if conditions.spikes > 0, random.chance(conditions.spikes) {
            latency = latency + random.within(.zero...conditions.delayMax)
        }
        return latency
    }

    /// A frame's way, its segments' retransmissions included.
    mutating func frameLatency(_ from: Int, _ to: Int) -> Interval {
        var latency = latency(from, to)
        if conditions.segmentLoss > 0 {
            var retransmission = Self.retransmission
            while random.chance(conditions.segmentLoss), retransmission < .seconds(4) {
                latency = latency + retransmission
                retransmission = retransmission * 2
            }
        }
        return latency
    }

    /// What becomes of a datagram: when each copy of it arrives.
    mutating func datagramLatencies(_ from: Int, _ to: Int) -> (first: Interval?, copy: Interval?) {
        if isBlocked(from, to) { return (nil, nil) }
        var first: Interval? = latency(from, to)
        if conditions.datagramDelay > 0, random.chance(conditions.datagramDelay) {
            first = random.within(.zero...conditions.delayMax)
        }
        var copy: Interval?
        if conditions.datagramDuplication > 0, random.chance(conditions.datagramDuplication) {
            copy = latency(from, to) + random.within(.zero...conditions.delayMax)
        }
        if conditions.datagramLoss > 0, random.chance(conditions.datagramLoss) { first = nil }
        return (first, copy)
    }

    // MARK: Damage

    mutating func corruptsDatagram() -> Bool {
        conditions.datagramCorruption > 0 && random.chance(conditions.datagramCorruption)
    }

    mutating func corruptsFrame() -> Bool {
        conditions.frameCorruption > 0 && random.chance(conditions.frameCorruption)
    }

    mutating func resets() -> Bool { conditions.reset > 0 && random.chance(conditions.reset) }

    /// Flips a bit, or a few.
    mutating func corrupt(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        for _ in 0...random.below(3) {
            bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
        }
    }
}
