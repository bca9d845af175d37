import Glibc
import MartletBase
import MartletNode
import MartletRESP

/// INFO: Redis 7.0's sections and fields, in its order, and a section of our own last.
///
/// A field is there when it says something true of this node. What Redis counts and cannot happen here
/// (evictions, forks, replication) is 0, since programs look it up; what Redis knows and this node doesn't
/// (the allocator's figures, peaks of buffers) is left out. The keyspace section has no line: the number of
/// keys is a walk over the cluster here, which DBSIZE does for who wants it.
struct ServerReport {
    let server: RedisServer
    let face: RedisFace

    private static let sections: [(name: String, isDefault: Bool)] = [
        ("Server", true), ("Clients", true), ("Memory", true), ("Persistence", true), ("Stats", true),
        ("Replication", true), ("CPU", true), ("Modules", true), ("Commandstats", false),
        ("Errorstats", true), ("Latencystats", false), ("Cluster", true), ("Keyspace", true),
        ("Martlet", true),
    ]

    /// The sections asked for, in lower case; unknown ones are left out.
    func text(sections: [String]) -> String {
        let isAll = sections.contains("all") || sections.contains("everything")
        let hasDefault = sections.isEmpty || sections.contains("default")
        return Self.sections.compactMap { section in
            let isAsked = sections.contains(section.name.lowercased())
            guard isAsked || isAll || (hasDefault && section.isDefault) else { return nil }
            return "# \(section.name)\r\n" + lines(section.name).map { "\($0):\($1)\r\n" }.joined()
        }.joined(separator: "\r\n")
    }

    private func lines(_ section: String) -> [(String, String)] {
        switch section {
        case "Server": serverLines
        case "Clients": clientLines
        case "Memory": memoryLines
        case "Persistence": persistenceLines
        case "Stats": statisticsLines
        case "Replication":
            [
                ("role", "master"), ("connected_slaves", "0"), ("master_failover_state", "no-failover"),
                ("master_replid", "\(server.settings.nodeID)"),
                ("master_replid2", String(repeating: "0", count: 40)), ("master_repl_offset", "0"),
                ("second_repl_offset", "-1"), ("repl_backlog_active", "0"), ("repl_backlog_size", "0"),
                ("repl_backlog_first_byte_offset", "0"), ("repl_backlog_histlen", "0"),
            ]
        case "CPU": processorLines
        case "Commandstats": server.counters.commandLines(since: server.baseline)
        case "Errorstats": server.counters.errorLines(since: server.baseline)
        case "Latencystats": server.counters.latencyLines
        case "Cluster": [("cluster_enabled", face == .cluster ? "1" : "0")]
        case "Martlet": martletLines
        default: []
        }
    }

    private var settings: RedisSettings { server.settings }
    private var backend: any RedisBackend { server.backend }
    private var uptimeSeconds: Int64 { (backend.now.monotonic - server.began).milliseconds / 1_000 }

    private var serverLines: [(String, String)] {
        [
            ("redis_version", RedisSession.redisVersion), ("redis_git_sha1", "00000000"),
            ("redis_git_dirty", "0"), ("redis_build_id", "0000000000000000"), ("redis_mode", face.mode),
            ("martlet_version", settings.version), ("os", Self.system), ("arch_bits", "\(Int.bitWidth)"),
            ("monotonic_clock", "POSIX clock_gettime"), ("multiplexing_api", "libuv"),
            ("process_id", "\(getpid())"), ("process_supervised", "no"), ("run_id", "\(settings.nodeID)"),
            ("tcp_port", "\(settings.port(of: face))"),
            ("server_time_usec", "\(backend.now.wall.microseconds)"),
            ("uptime_in_seconds", "\(uptimeSeconds)"), ("uptime_in_days", "\(uptimeSeconds / 86_400)"),
            ("hz", "10"), ("configured_hz", "10"),
            ("lru_clock", "\(backend.now.wall.milliseconds / 1_000 & 0xFF_FFFF)"), ("executable", ""),
            ("config_file", ""), ("io_threads_active", "0"),
        ]
    }

    private static let system: String = {
        var name = utsname()
        uname(&name)
        func text<Field>(_ field: Field) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return "\(text(name.sysname)) \(text(name.release)) \(text(name.machine))"
    }()

    private var clientLines: [(String, String)] {
        [
            ("connected_clients", "\(server.sessionCount)"), ("cluster_connections", "0"),
            ("maxclients", "\(settings.clientsMax)"), ("blocked_clients", "0"), ("tracking_clients", "0"),
            ("clients_in_timeout_table", "0"),
        ]
    }

    private var memoryLines: [(String, String)] {
        func both(_ name: String, _ bytes: Int) -> [(String, String)] {
            [(name, "\(bytes)"), (name + "_human", Self.human(bytes))]
        }
        var lines: [(String, String)] = []
        let resident = backend.usage().residentBytes
        if let resident {
            lines += both("used_memory", resident) + both("used_memory_rss", resident)
        }
        lines += both("used_memory_peak", max(resident ?? 0, Self.usage(of: .process).ru_maxrss * 1_024))
        lines += both("total_system_memory", sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)))
        let clients = server.sessions.reduce(0) { $0 + $1.unsentBytes + $1.heldBytes }
        return lines + both("maxmemory", 0) + [
            ("maxmemory_policy", "noeviction"), ("mem_fragmentation_ratio", "1.00"),
            ("mem_not_counted_for_evict", "0"), ("mem_clients_slaves", "0"),
            ("mem_clients_normal", "\(clients)"), ("mem_allocator", "libc"), ("active_defrag_running", "0"),
            ("lazyfree_pending_objects", "0"),
        ]
    }

    /// As Redis shows sizes: 2.29M.
    private static func human(_ bytes: Int) -> String {
        var (value, unit) = (Double(bytes), 0)
        while value >= 1_024, unit < 4 {
            value /= 1_024
            unit += 1
        }
        return unit == 0 ? "\(bytes)B" : decimals(value, 2) + ["K", "M", "G", "T"][unit - 1]
    }

    private var persistenceLines: [(String, String)] {
        [
            ("loading", backend.status().isFormed ? "0" : "1"), ("async_loading", "0"),
            ("rdb_changes_since_last_save", "0"), ("rdb_bgsave_in_progress", "0"),
            ("rdb_last_save_time", "\(backend.now.wall.milliseconds / 1_000 - uptimeSeconds)"),
            ("rdb_last_bgsave_status", "ok"), ("rdb_last_bgsave_time_sec", "-1"),
            ("rdb_current_bgsave_time_sec", "-1"), ("aof_enabled", "1"), ("aof_rewrite_in_progress", "0"),
            ("aof_rewrite_scheduled", "0"), ("aof_last_rewrite_time_sec", "-1"),
            ("aof_current_rewrite_time_sec", "-1"), ("aof_last_bgrewrite_status", "ok"),
            ("aof_last_write_status", "ok"), ("module_fork_in_progress", "0"),
        ]
    }

    private var statisticsLines: [(String, String)] {
        let (counters, baseline) = (server.counters, server.baseline)
        let (requests, requestsBefore) = (server.requests, server.baselineRequests)
        let zero = [
            "expired_keys", "evicted_keys", "evicted_clients", "pubsub_channels", "pubsub_patterns",
            "pubsubshard_channels", "latest_fork_usec", "total_forks", "migrate_cached_sockets",
            "unexpected_error_replies", "sync_full", "sync_partial_ok", "sync_partial_err",
        ].map { ($0, "0") }
        return [
            ("total_connections_received", "\(counters.clientsAccepted - baseline.clientsAccepted)"),
            ("total_commands_processed", "\(counters.total - baseline.total)"),
            ("instantaneous_ops_per_sec", "\(Int(server.sampleRate()))"),
            ("total_net_input_bytes", "\(counters.bytesRead - baseline.bytesRead)"),
            ("total_net_output_bytes", "\(counters.bytesWritten - baseline.bytesWritten)"),
            ("rejected_connections", "\(counters.clientsRefused - baseline.clientsRefused)"),
            (
                "client_output_buffer_limit_disconnections",
                "\(counters.cutForOutput - baseline.cutForOutput)"
            ),
            ("keyspace_hits", "\(requests.hits - requestsBefore.hits)"),
            ("keyspace_misses", "\(requests.misses - requestsBefore.misses)"),
            ("total_error_replies", "\(counters.errors - baseline.errors)"),
        ] + zero
    }

    /// getrusage's numbers. The thread's has a name in C only with GNU's extensions, which no module of ours
    /// turns on.
    private enum Measured: Int32 {
        case process = 0
        case thread = 1
    }

    private static func usage(of measured: Measured) -> rusage {
        var usage = rusage()
        getrusage(measured.rawValue, &usage)
        return usage
    }

    private var processorLines: [(String, String)] {
        func seconds(_ time: timeval) -> String {
            decimals(Double(time.tv_sec) + Double(time.tv_usec) / 1e6, 6)
        }
        // The loop's thread is the one that answers this.
        let (all, thread) = (Self.usage(of: .process), Self.usage(of: .thread))
        return [
            ("used_cpu_sys", seconds(all.ru_stime)), ("used_cpu_user", seconds(all.ru_utime)),
            ("used_cpu_sys_children", seconds(timeval())), ("used_cpu_user_children", seconds(timeval())),
            ("used_cpu_sys_main_thread", seconds(thread.ru_stime)),
            ("used_cpu_user_main_thread", seconds(thread.ru_utime)),
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
            ("keyspaces", server.keyspaces.map(\.name).joined(separator: ",")),
            ("stored_bytes", usage.storedBytes.map { "\($0)" } ?? "unknown"),
        ]
    }
}
