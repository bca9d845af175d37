import MartletBase
import MartletLoop
import MartletNode
import MartletRing
import MartletRuntime
import MartletStorage

/// The node of this process, as its Redis face sees it.
package final class RuntimeBackend: RedisBackend {
    private let runtime: NodeRuntime

    private let loop: EventLoop

    package init(_ runtime: NodeRuntime) {
        self.runtime = runtime
        loop = runtime.loop
    }

    package var now: Now { loop.now }
    package func submit(_ ticket: ClientTicket, _ request: consuming ClientRequest) {
        runtime.submit(ticket, request)
    }
    package var keyspaces: [KeyspaceDefinition] { runtime.keyspaces }
    package func status() -> NodeStatus { runtime.status() }
    package var topologyStamp: TopologyStamp { runtime.topologyStamp }
    package func placement(keyspace: UInt32) -> Placement? {
        runtime.placement(keyspace: keyspace)?.placement
    }
    package func nodeMetrics() -> NodeMetrics { runtime.nodeMetrics() }
    package func hintStatus() -> HintStatus { runtime.hintStatus() }
    package func repairStatus() -> RepairStatus { runtime.repairStatus() }
    package func repair(keyspace: UInt32, slots: ClosedRange<UInt16>, inTurns: Bool) -> Int? {
        runtime.askForExchanges(keyspace: keyspace, slots: slots, inTurns: inTurns)
    }

    package func usage() -> NodeUsage {
        NodeUsage(
            storedBytes: runtime.storageStatistics().diskBytes, hintBytes: runtime.nodeMetrics().hintBytes,
            uptime: runtime.loop.now.monotonic - runtime.started, residentBytes: runtime.residentBytes())
    }

    package func runtimeMetrics() -> [MetricFamily] {
        let (statistics, metrics) = (runtime.storageStatistics(), runtime.metrics())
        return Self.storage(statistics, metrics) + Self.background(statistics) + Self.transport(metrics)
    }

    // MARK: Families

    private static func storage(
        _ statistics: StorageStatistics, _ metrics: RuntimeMetrics
    ) -> [MetricFamily] {
        [
            .gauge(
                "martlet_storage_disk_bytes", "Bytes of the engine's files.", Double(statistics.diskBytes)),
            .gauge(
                "martlet_storage_disk_free_bytes", "Free bytes of the data folder's disk.",
                Double(statistics.diskFreeBytes)),
            .gauge(
                "martlet_storage_memtable_bytes", "Bytes of the tables in memory.",
                Double(statistics.memtableBytes)),
            .gauge(
                "martlet_storage_block_cache_bytes", "Bytes of the block cache in use.",
                Double(statistics.blockCacheBytes)),
            .counter(
                "martlet_storage_record_cache_hits_total", "Reads and merges that the record cache knew.",
                UInt64(statistics.recordCacheHits)),
            .counter(
                "martlet_storage_record_cache_misses_total",
                "Reads and merges that the record cache did not know.", UInt64(statistics.recordCacheMisses)),
            .counter(
                "martlet_storage_batches_total", "Batches written; all writes of a turn are one.",
                UInt64(statistics.batches)),
            .counter("martlet_storage_syncs_total", "Syncs of the log.", UInt64(statistics.syncs)),
            .counter(
                "martlet_storage_values_dropped_total", "Expired values that were dropped.",
                UInt64(statistics.valuesDropped)),
            .gauge(
                "martlet_storage_cold_reads_pending", "Reads that wait for a worker or are with one.",
                Double(metrics.coldReadsPending)),
            .gauge(
                "martlet_storage_unsynced_sequences", "Writes of the engine that are not synced yet.",
                Double(statistics.lastWritten.number) - Double(statistics.lastSynced.number)),
            .gauge(
                "martlet_storage_write_stopped", "1 while the engine takes no writes.",
                statistics.isWriteStopped ? 1 : 0),
            .counter(
                "martlet_storage_refused_stalled_total", "Batches refused because a write would stall.",
                UInt64(statistics.refusedStalled)),
            .counter(
                "martlet_storage_refused_disk_full_total", "Batches refused because the disk is full.",
                UInt64(statistics.refusedDiskFull)),
            .counter(
                "martlet_storage_refused_writes_total", "Writes that were refused, one by one.",
                metrics.refusedWrites),
            .gauge(
                "martlet_storage_background_errors", "Errors of the engine's background work.",
                Double(statistics.backgroundErrors)),
            .counter(
                "martlet_storage_cold_reads_total", "Reads that memory could not answer.", metrics.coldReads),
            .histogram(
                "martlet_storage_sync_seconds", "How long making writes durable took, as the loop saw it.",
                metrics.syncLatency),
        ]
    }

    /// What the engine does of its own accord.
    private static func background(_ statistics: StorageStatistics) -> [MetricFamily] {
        [
            .gauge(
                "martlet_storage_level_zero_files", "Table files that wait to be sorted into levels.",
                Double(statistics.levelZeroFiles)),
            .gauge(
                "martlet_storage_compaction_pending_bytes", "Bytes that compaction still has to rewrite.",
                Double(statistics.compactionPendingBytes)),
            .gauge(
                "martlet_storage_compacting", "1 while the engine compacts.",
                statistics.isCompacting ? 1 : 0),
            .gauge(
                "martlet_storage_delayed_write_bytes_per_second",
                "What writes are slowed down to; 0 when they aren't.",
                Double(statistics.delayedWriteBytesPerSecond)),
            .gauge(
                "martlet_storage_record_cache_bytes", "Bytes of the record cache in use.",
                Double(statistics.recordCacheBytes)),
        ]
    }

    private static func transport(_ metrics: RuntimeMetrics) -> [MetricFamily] {
        [
            .gauge(
                "martlet_peer_links", "Connections with peers, in both directions.", Double(metrics.links)),
            .gauge(
                "martlet_peer_output_bytes", "Bytes that wait to be read by peers.",
                Double(metrics.peerOutputBytes)),
            .counter("martlet_peer_dials_total", "Connections to peers begun.", metrics.dials),
            .counter(
                "martlet_peer_bad_frames_total", "Connections closed for bytes that can't be right.",
                metrics.badFrames),
            .counter(
                "martlet_peer_handshake_refused_total",
                "Hellos refused: another cluster, another protocol, a wrong identity.",
                metrics.refusedHellos),
            .counter(
                "martlet_peer_dropped_messages_total",
                "Messages dropped because a connection's queue was full.", metrics.droppedMessages),
            .counter("martlet_loop_turns_total", "Turns of the event loop.", metrics.loop.turns),
            .counter(
                "martlet_loop_bytes_read_total", "Bytes read from TCP connections.", metrics.loop.bytesRead),
            .counter(
                "martlet_loop_bytes_written_total", "Bytes written to TCP connections.",
                metrics.loop.bytesWritten),
            .counter(
                "martlet_loop_datagrams_received_total", "Datagrams received.", metrics.loop.datagramsReceived
            ),
            .counter("martlet_loop_datagrams_sent_total", "Datagrams sent.", metrics.loop.datagramsSent),
            .counter(
                "martlet_loop_datagrams_dropped_total", "Datagrams that the system did not take, or cut.",
                metrics.loop.datagramsDropped),
        ]
    }
}
