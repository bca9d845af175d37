import Glibc
import MartletBase
import Synchronization

/// The names of log events: stable, because scripts and alerts are written against them.
package enum LogEvent: String, Sendable, CaseIterable {
    case starting, started, stopping, stopped
    case configuration
    case ringForming = "ring_forming"
    case ringFormed = "ring_formed"
    case foundingConflict = "founding_conflict"
    case identityConflict = "identity_conflict"
    case peerUp = "peer_up"
    case peerSuspect = "peer_suspect"
    case peerDown = "peer_down"
    case peerLeft = "peer_left"
    case badPeerBytes = "bad_peer_bytes"
    case badClientBytes = "bad_client_bytes"
    case clientCut = "client_cut"
    case clientsMax = "clients_max"
    case placementDiffers = "placement_differs"
    case keyspaceDiffers = "keyspace_differs"
    case zoneDiffers = "zone_differs"
    case dataCenterDiffers = "datacenter_differs"
    case clockSkewed = "clock_skewed"
    case clockHealed = "clock_healed"
    case folderRefused = "folder_refused"
    case rebuilding, rebuilt
    case ringChanging = "ring_changing"
    case ringSettled = "ring_settled"
    case leftUnheard = "left_unheard"
    case joinRefused = "join_refused"
    case seedsSilent = "seeds_silent"
    case gossip
    case storage
    case badHint = "bad_hint"
    case treesRecovered = "trees_recovered"
    case treesForgotten = "trees_forgotten"
    case repaired
    case repairFailed = "repair_failed"
    case floorRaised = "floor_raised"
    case floorBlocked = "floor_blocked"
    case behindFloor = "behind_floor"
    case storageRefused = "storage_refused"
}

package enum LogLevel: Int, Comparable, CaseIterable, Sendable {
    case debug, info, warn, error

    package static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
    package var name: String { "\(self)" }

    package init?(name: String) {
        guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = level
    }
}

/// Writes log lines to standard error: `time level node event` and fields in this order, `text` last; logfmt
/// or JSON with the same names. Times are UTC with milliseconds.
package struct Log: Sendable {
    package enum Format: Sendable { case logfmt, json }

    let node: String
    /// One for all copies of the log.
    private let threshold: Threshold
    let format: Format

    private final class Threshold: Sendable {
        let level: Atomic<Int>
        init(_ level: LogLevel) { self.level = Atomic(level.rawValue) }
    }

    package init(node: String, level: LogLevel, format: Format) {
        self.node = node
        threshold = Threshold(level)
        self.format = format
    }

    /// What is below it isn't written. Can be changed at any time.
    package var level: LogLevel {
        get { LogLevel(rawValue: threshold.level.load(ordering: .relaxed)) ?? .info }
        nonmutating set { threshold.level.store(newValue.rawValue, ordering: .relaxed) }
    }

    package func write(
        _ level: LogLevel, _ event: LogEvent, _ fields: [(String, String)] = [], _ text: String = ""
    ) {
        guard level >= self.level else { return }
        var all = [
            ("time", Self.time()), ("level", level.name), ("node", node), ("event", event.rawValue),
        ]
        all += fields
        if !text.isEmpty { all.append(("text", text)) }
        var line = format == .logfmt ? Self.logfmt(all) : Self.json(all)
        line += "\n"
        // One call a line, so that lines of several processes in one file stay whole.
        _ = line.withUTF8 { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    private static func time() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        gmtime_r(&now.tv_sec, &parts)
        func pad(_ value: Int, _ digits: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        return
            "\(pad(Int(parts.tm_year) + 1900, 4))-\(pad(Int(parts.tm_mon) + 1, 2))-"
            + "\(pad(Int(parts.tm_mday), 2))T"
            + "\(pad(Int(parts.tm_hour), 2)):\(pad(Int(parts.tm_min), 2)):\(pad(Int(parts.tm_sec), 2))."
            + "\(pad(now.tv_nsec / 1_000_000, 3))Z"
    }

    private static func logfmt(_ fields: [(String, String)]) -> String {
        fields.map { name, value in
            let isPlain =
                !value.isEmpty && value.utf8.allSatisfy { $0 > 32 && $0 < 127 && $0 != 34 && $0 != 61 }
            return "\(name)=" + (isPlain ? value : quoted(value))
        }.joined(separator: " ")
    }

    private static func json(_ fields: [(String, String)]) -> String {
        "{" + fields.map { name, value in quoted(name) + ":" + quoted(value) }.joined(separator: ",") + "}"
    }

    /// With JSON's escapes, which logfmt's readers understand as well.
    private static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 32: out += "\\u00" + hexByte(UInt8(scalar.value))
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}
