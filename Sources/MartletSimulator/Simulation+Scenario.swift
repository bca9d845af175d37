import MartletBase
import MartletGossip
import MartletRing

/// What a scenario does with a cluster by hand: time goes on as it says, and faults come when it says.
extension Simulation {
    /// Schedules the starts, and all that a run begins with.
    package mutating func beginScenario() { begin() }

    /// Runs on for an interval.
    package mutating func run(for interval: Interval) throws(Violation) {
        let end = now + interval
        while let next = heap.soonest, next <= end, let (at, occurrence) = heap.pop() {
            now = at
            counters.occurrences += 1
            try happen(occurrence)
        }
        now = end
    }

    /// Runs until the condition holds, looking every 20 ms; nil when it doesn't within the limit.
    package mutating func run(
        atMost limit: Interval, until condition: (borrowing Simulation) -> Bool
    ) throws(Violation) -> Interval? {
        let began = now
        while !condition(self) {
            if now - began >= limit { return nil }
            try run(for: .milliseconds(20))
        }
        return now - began
    }

    package var isFormed: Bool { processes.allSatisfy(\.isFormed) }

    /// kill -9; nobody starts it again.
    package mutating func kill(_ index: Int) throws(Violation) {
        processes[index].isPoweredOff = false
        try ended(processes[index], .killed)
    }

    /// A client writes a key of the workload through a node.
    package mutating func put(_ key: Int, through index: Int, _ level: ConsistencyLevel) {
        ask(processes[index], key: key, .put, level: level)
    }

    /// An operator flushes the clients' keyspace through a node.
    package mutating func flush(through index: Int) throws(Violation) {
        try order(processes[index], .truncate([0]), level: .quorum)
    }

    /// Changes of keyspaces that were acknowledged.
    package var changes: Int { counters.changes }

    /// How many records of the workload's keys up to this one are on a node's disk, hidden or not.
    package borrowing func recordsStored(by index: Int, below count: Int) -> Int {
        (0..<count).count { processes[index].disk.read(WorkloadKeys.stored($0)) != nil }
    }

    package var acknowledged: Int { counters.acknowledged }

    /// How many keys of the workload up to this one a node's disk surely holds.
    package borrowing func keysHeld(by index: Int, below count: Int) -> Int {
        (0..<count).count { processes[index].disk.durableVersion($0) > .none }
    }

    /// Hints on all disks.
    package var hintCount: Int { processes.reduce(0) { $0 + $1.disk.hintCount } }

    package mutating func start(_ index: Int) throws(Violation) { try start(processes[index]) }
    package mutating func pause(_ index: Int, for interval: Interval) {
        pause(processes[index], for: interval)
    }
    package mutating func loseDatagrams(share: Double) { network.conditions.datagramLoss = share }

    /// What one node says of another; nil when it is down itself, or doesn't know the other.
    package borrowing func liveness(of other: Int, seenBy observer: Int) -> Liveness? {
        processes[observer].node?.liveness(of: processes[other].id)
    }

    /// Whether every other node that runs says so of this one.
    package borrowing func isHeld(_ liveness: Liveness, _ index: Int) -> Bool {
        processes.allSatisfy { observer in
            observer.index == index || observer.node == nil
                || self.liveness(of: index, seenBy: observer.index) == liveness
        }
    }

    /// Bytes that all nodes have sent, the headers of IP, UDP and TCP included.
    package var bytesSent: Int {
        counters.datagramBytes + 28 * counters.datagrams + counters.frameBytes + 40 * counters.frames
    }
}
