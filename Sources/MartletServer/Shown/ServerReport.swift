import Glibc
import MartletBase
import MartletNode
import MartletRESP

/// What INFO shows.
extension RedisServer {
    private static let defaultSections = [
        "server", "clients", "memory", "persistence", "stats", "replication", "cpu", "modules", "errorstats",
        "cluster", "keyspace", "martlet",
    ]

    /// INFO: the sections asked for, in the order in which Redis has them; unknown ones are left out.
    func report(sections: [String]) -> String {
        let isAll = sections.isEmpty || !Set(sections).isDisjoint(with: ["all", "default", "everything"])
        var blocks: [String] = []
        for section in Self.defaultSections where isAll || sections.contains(section) {
            guard let lines = lines(section) else { continue }
            let title = "# \(section.prefix(1).uppercased())\(section.dropFirst())\r\n"
            blocks.append(title + lines.map { "\($0):\($1)\r\n" }.joined())
        }
        return blocks.joined(separator: "\r\n")
    }

    private func lines(_ section: String) -> [(String, String)]? {
        switch section {
        case "server": serverLines
        case "clients":
            [
                ("connected_clients", "\(sessionCount)"), ("cluster_connections", "0"),
                ("maxclients", "\(settings.clientsMax)"), ("blocked_clients", "0"),
            ]
        case "memory": memoryLines
        case "persistence":
            [
                ("loading", backend.status().isFormed ? "0" : "1"), ("rdb_bgsave_in_progress", "0"),
                ("aof_enabled", "1"),
            ]
        case "stats": statisticsLines
        case "replication":
            [
                ("role", "master"), ("connected_slaves", "0"),
                ("master_replid", "\(settings.nodeID)"), ("master_repl_offset", "0"),
            ]
        case "cpu", "modules", "keyspace": []
        case "errorstats": [("errorstat_total", "count=\(counters.errors)")]
        case "cluster": [("cluster_enabled", "0")]
        case "martlet": martletLines
        default: nil
        }
    }

    private var uptimeSeconds: Int64 { (backend.now.monotonic - began).milliseconds / 1_000 }

    private var serverLines: [(String, String)] {
        [
            ("redis_version", RedisSession.redisVersion), ("redis_mode", "standalone"),
            ("martlet_version", settings.version), ("arch_bits", "\(Int.bitWidth)"),
            ("multiplexing_api", "libuv"), ("process_id", "\(getpid())"),
            ("run_id", "\(settings.nodeID)"), ("tcp_port", "\(settings.address.port)"),
            ("server_time_usec", "\(backend.now.wall.microseconds)"),
            ("uptime_in_seconds", "\(uptimeSeconds)"), ("uptime_in_days", "\(uptimeSeconds / 86_400)"),
        ]
    }

    private var memoryLines: [(String, String)] {
        let resident = backend.usage().residentBytes
        return resident.map { [("used_memory", "\($0)"), ("used_memory_rss", "\($0)")] } ?? []
            + [("maxmemory", "0"), ("maxmemory_policy", "noeviction")]
    }

    private var statisticsLines: [(String, String)] {
        [
            ("total_connections_received", "\(counters.clientsAccepted - baseline.clientsAccepted)"),
            ("total_commands_processed", "\(counters.total - baseline.total)"),
            ("total_net_input_bytes", "\(counters.bytesRead - baseline.bytesRead)"),
            ("total_net_output_bytes", "\(counters.bytesWritten - baseline.bytesWritten)"),
            ("rejected_connections", "\(counters.clientsRefused - baseline.clientsRefused)"),
            (
                "client_output_buffer_limit_disconnections",
                "\(counters.cutForOutput - baseline.cutForOutput)"
            ),
            ("total_error_replies", "\(counters.errors - baseline.errors)"),
        ]
    }

    private var martletLines: [(String, String)] {
        let status = backend.status()
        let usage = backend.usage()
        return [
            ("cluster", status.cluster), ("node", settings.nodeName), ("node_id", "\(settings.nodeID)"),
            ("ring", status.isFormed ? "formed" : "forming"), ("ring_digest", hex(status.ringDigest)),
            ("nodes", "\(status.members.count)"),
            ("nodes_up", "\(status.members.filter { $0.liveness == .up }.count)"),
            ("keyspaces", keyspaces.map(\.name).joined(separator: ",")),
            ("stored_bytes", usage.storedBytes.map { "\($0)" } ?? "unknown"),
        ]
    }
}
