import MartletBase
import MartletGossip

/// Accurate: a node that is alive and reachable isn't held dead for longer than the suspicion bound, and a
/// dead one is detected by all within the SWIM bound. Looked at once a second.
struct Accurate {
    /// Long enough for a probe to come round, an unconfirmed suspicion to time out (6 times 2 s by default)
    /// and the news to spread; and for a cluster that was torn apart to find together again.
    private static let boundOfFew = Interval.seconds(25)
    /// Among hundreds some are missed by the news that a node has joined, and hear of it when they next
    /// compare what they know with another: each does so twice a minute.
    private static let boundOfMany = boundOfFew + GossipSettings(clusterName: "").pushPullInterval

    private let bound: Interval
    private(set) var checked = 0

    /// - Parameter isLarge: whether it is a cluster of hundreds.
    init(isLarge: Bool) { bound = isLarge ? Self.boundOfMany : Self.boundOfFew }

    /// - Parameters:
    ///   - disturbed: when anything last hindered messages between machines.
    ///   - mayDetect: whether nothing in this run keeps the living from noticing the dead.
    mutating func look(
        _ processes: [SimulatedProcess], at now: Instant, disturbed: Instant, mayDetect: Bool
    ) throws(Violation) {
        guard now - disturbed > bound else { return }
        for observer in processes where observer.state == .running && observer.id == observer.folderID {
            guard now - observer.wellSince > bound else { continue }
            for other in processes where other !== observer && now - other.wellSince > bound {
                checked += 1
                let belief = observer.node?.liveness(of: other.id)
                // One that has left the ring has said so, and stays for its last hints.
                let isThere =
                    other.state == .running && other.id == other.folderID && other.node?.hasLeft == false
                if isThere, belief == .down || belief == .left {
                    throw Violation(
                        "Accurate",
                        "\(observer.name) holds \(other.name) for dead, which has been alive and "
                            + "reachable for "
                            + "\((now - max(disturbed, other.wellSince)).milliseconds) ms")
                }
                if other.state == .down, mayDetect, belief == .up || belief == .suspect {
                    throw Violation(
                        "Accurate",
                        "\(observer.name) holds \(other.name) for alive, which has been dead for "
                            + "\((now - other.wellSince).milliseconds) ms")
                }
            }
        }
    }
}
