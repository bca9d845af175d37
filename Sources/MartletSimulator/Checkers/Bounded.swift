import MartletBase
import MartletNode

/// Bounded: every queue, buffer, cache and retry stays within its limit; overload is refused, not queued.
/// What a node can see of itself it checks by `checkInvariants`, after each event; this looks at its gauges
/// and at the shell's queues.
struct Bounded {
    /// What the effects of one event may give rise to at once, one after the other.
    static let eventsOfTurnMax = 100_000
    /// What may happen in one simulated second. Beyond, nodes answer one another in circles, and the run
    /// would have no end. Of 27,000 simulated seconds none came to an eighth of it.
    static func occurrencesOfSecondMax(nodes: Int) -> Int { 100_000 + 5_000 * nodes }
    /// How often the nodes' rings may turn in it: that shows circles sooner, where each turn costs much.
    /// Every node may hear of a change of every other. None of 3,450 seeds came to it.
    static func turnsOfSecondMax(nodes: Int) -> Int { 1_000 + 20 * nodes * nodes }

    static func check(_ metrics: NodeMetrics, inFlightMax: Int, name: String) throws(Violation) {
        guard metrics.inFlight <= inFlightMax else {
            throw Violation(
                "Bounded", "\(name) has \(metrics.inFlight) requests under way, of \(inFlightMax) allowed")
        }
        guard
            metrics.unsyncedMerges
                <= Limits.replicaRequestsMax + Limits.parkedMergesMax + 2 * Limits.hintsStoringMax
        else {
            throw Violation("Bounded", "\(name) waits for \(metrics.unsyncedMerges) merges")
        }
        guard metrics.answeredPuts <= Limits.answeredPutsMax else {
            throw Violation("Bounded", "\(name) holds \(metrics.answeredPuts) puts that are answered")
        }
        guard metrics.rememberedStamps <= Limits.rememberedStampsMax else {
            throw Violation("Bounded", "\(name) remembers \(metrics.rememberedStamps) stamps")
        }
    }

    /// Hints that count have as much room as the others. But those of a node that is gone are moved to the
    /// owners, whatever room these have: they are data.
    static func check(_ hints: HintStatus, bytesMax: Int, gone: Int, name: String) throws(Violation) {
        for target in hints.targets {
            guard target.countedBytes <= bytesMax * (1 + gone), target.bytes - target.countedBytes <= bytesMax
            else {
                throw Violation(
                    "Bounded",
                    "\(name) keeps \(target.bytes) bytes of hints for \(target.name), of \(bytesMax) allowed")
            }
        }
    }
}
