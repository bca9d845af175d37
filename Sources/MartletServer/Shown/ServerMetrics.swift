import MartletBase
import MartletGossip
import MartletNode

/// What MARTLET METRICS shows of the node and of its clients; the backend adds its own families.
extension RedisServer {
    func metricFamilies() -> [MetricFamily] {
        let status = backend.status()
        let metrics = backend.nodeMetrics()
        return identityFamilies(status) + requestFamilies(metrics)
            + siblingsFamilies(metrics) + replicaFamilies(metrics)
            + counters.families(clients: sessionCount) + requests.families + sessionFamilies
            + peerFamilies(status) + Self.hintFamilies(metrics, backend.hintStatus())
            + Self.exchangeFamilies(metrics) + Self.handoverFamilies(metrics)
            + backend.runtimeMetrics()
    }

    /// What waits in the sessions, as of now.
    private var sessionFamilies: [MetricFamily] {
        var (commands, operations, bytes) = (0, 0, 0)
        for session in sessions {
            commands += session.commands.count
            operations += session.operations.count
            bytes += session.unsentBytes + session.heldBytes
        }
        return [
            .gauge(
                "martlet_client_commands_pending", "Commands of clients whose replies are due.",
                Double(commands)),
            .gauge(
                "martlet_client_operations_pending", "Keys of clients' commands that are under way.",
                Double(operations)),
            .gauge(
                "martlet_client_output_bytes", "Bytes of replies that clients have not taken.",
                Double(bytes)),
        ]
    }

    /// A sample for each other node of the ring: at most `Limits.nodesMax` of them.
    private func peerFamilies(_ status: NodeStatus) -> [MetricFamily] {
        let peers = status.members.filter { $0.entry.id != settings.nodeID }
        func samples(_ value: (NodeStatus.Member) -> Double?) -> [MetricSample] {
            peers.compactMap { peer in
                value(peer).map { MetricSample($0, labels: [.init("peer", peer.entry.name)]) }
            }
        }
        let states: [(String, Liveness)] = [("up", .up), ("suspect", .suspect), ("down", .down)]
        return [
            MetricFamily(
                .gauge, "martlet_peer_liveness", "1 for what this node holds of a peer, else 0.",
                peers.flatMap { peer in
                    states.map { name, liveness in
                        // One that said goodbye is as unreachable as one that died.
                        let held = peer.liveness == .left ? .down : peer.liveness
                        return MetricSample(
                            held == liveness ? 1 : 0,
                            labels: [.init("peer", peer.entry.name), .init("liveness", name)])
                    }
                }),
            MetricFamily(
                .gauge, "martlet_peer_reachable", "1 while requests are sent to a peer.",
                samples { $0.isReachable ? 1 : 0 }),
            MetricFamily(
                .gauge, "martlet_peer_round_trip_seconds",
                "Smoothed time from a probe's ping to its ack, by peer.", samples { $0.roundTrip?.seconds }),
            MetricFamily(
                .gauge, "martlet_peer_clock_offset_seconds", "A peer's wall clock minus this node's.",
                samples { $0.clockOffset?.seconds }),
        ]
    }

    private func identityFamilies(_ status: NodeStatus) -> [MetricFamily] {
        func count(_ label: String, _ matches: (Liveness) -> Bool) -> MetricSample {
            MetricSample(
                Double(status.members.filter { matches($0.liveness) }.count),
                labels: [.init("liveness", label)])
        }
        let usage = backend.usage()
        return [
            MetricFamily(
                .gauge, "martlet_info", "Who this node is; always 1.",
                [
                    MetricSample(
                        1,
                        labels: [
                            .init("cluster", status.cluster), .init("node", settings.nodeName),
                            .init("version", settings.version),
                        ])
                ]),
            .gauge("martlet_uptime_seconds", "Time since the node started.", usage.uptime.seconds),
            MetricFamily(
                .gauge, "martlet_nodes", "Nodes of the ring, by their liveness as this node sees it.",
                [
                    count("up") { $0 == .up }, count("suspect") { $0 == .suspect },
                    count("down") { $0 == .down || $0 == .left },
                ]),
            .gauge("martlet_ring_formed", "1 once the first ring has formed.", status.isFormed ? 1 : 0),
            .gauge(
                "martlet_ring_agreed", "1 while all nodes that are up show the same ring.",
                status.isAgreed ? 1 : 0),
        ]
    }

    private func siblingsFamilies(_ metrics: NodeMetrics) -> [MetricFamily] {
        [
            .counter(
                "martlet_siblings_warned_total",
                "Puts that left as many concurrent versions under their key as requests.siblings_warn says.",
                metrics.siblingsWarned),
            .counter(
                "martlet_siblings_refused_total",
                "Puts refused because their key would have had too many concurrent versions.",
                metrics.siblingsRefused),
            MetricFamily(
                .histogram, "martlet_siblings",
                "Versions that puts in keyspaces with siblings have left under their keys.",
                samples(of: metrics.siblings)),
        ]
    }

    private func samples(of histogram: SiblingsHistogram) -> [MetricSample] {
        var total: UInt64 = 0
        var samples: [MetricSample] = []
        let bounds = SiblingsHistogram.bounds.map { "\($0)" } + ["+Inf"]
        for (bound, count) in zip(bounds, histogram.counts) {
            total += count
            samples.append(
                MetricSample(Double(total), labels: [.init("le", bound)], suffix: "_bucket"))
        }
        samples.append(MetricSample(Double(histogram.sum), labels: [], suffix: "_sum"))
        samples.append(MetricSample(Double(total), labels: [], suffix: "_count"))
        return samples
    }

    private func requestFamilies(_ metrics: NodeMetrics) -> [MetricFamily] {
        func sample(_ value: UInt64, _ operation: String, _ reason: String) -> MetricSample {
            MetricSample(Double(value), labels: [.init("op", operation), .init("reason", reason)])
        }
        func refused(_ value: UInt64, _ reason: String) -> MetricSample {
            MetricSample(Double(value), labels: [.init("reason", reason)])
        }
        return [
            MetricFamily(
                .counter, "martlet_requests_total", "Reads and writes that this node coordinated.",
                [
                    MetricSample(Double(metrics.reads), labels: [.init("op", "read")]),
                    MetricSample(Double(metrics.writes), labels: [.init("op", "write")]),
                ]),
            MetricFamily(
                .counter, "martlet_requests_failed_total",
                "Coordinated requests that ended without the answers that their level needs.",
                [
                    sample(metrics.readsUnavailable, "read", "unavailable"),
                    sample(metrics.readsTimedOut, "read", "timeout"),
                    sample(metrics.writesUnavailable, "write", "unavailable"),
                    sample(metrics.writesTimedOut, "write", "timeout"),
                ]),
            MetricFamily(
                .counter, "martlet_requests_refused_total", "Requests refused before any work, by reason.",
                [
                    refused(metrics.loadingRefused, "loading"), refused(metrics.overloaded, "overloaded"),
                    refused(metrics.skewRefused, "skew"),
                ]),
            .gauge("martlet_requests_in_flight", "Requests of clients under way.", Double(metrics.inFlight)),
            .counter(
                "martlet_lww_contended_total",
                "Puts that a replica knew to be older than another client's: what last-writer-wins costs.",
                metrics.contended),
            .counter(
                "martlet_truncations_total", "Flushes of keyspaces that this node has learnt of.",
                metrics.truncations),
            .counter(
                "martlet_truncated_merges_total",
                "Writes that came after a flush that they were older than, and were discarded.",
                metrics.mergesTruncated),
            .counter(
                "martlet_swept_records_total",
                "Records that were deleted: flushed, or purged as tombstones or expired.",
                metrics.recordsSwept),
            .counter(
                "martlet_digest_mismatches_total", "Reads whose replicas differed.",
                metrics.digestMismatches),
            .counter(
                "martlet_read_repairs_total", "Records that a read wrote back to a replica.",
                metrics.readRepairs),
            .counter(
                "martlet_speculative_reads_total",
                "Reads that asked another replica before the first answered.",
                metrics.speculativeReads),
            .counter(
                "martlet_speculative_scans_total",
                "Parts of scans for which another replica was asked because one was silent.",
                metrics.speculativeScans),
            .counter(
                "martlet_placement_retries_total", "Requests begun anew because a replica saw another ring.",
                metrics.placementRetries),
        ]
    }

    private static func handoverFamilies(_ metrics: NodeMetrics) -> [MetricFamily] {
        [
            .gauge(
                "martlet_ring_changes", "Changes of the ring that are wanted: one is in hand, others wait.",
                Double(metrics.ringChanges)),
            .gauge(
                "martlet_handover_exchanges",
                "Exchanges that the change in hand needs of this node, for what it gains.",
                Double(metrics.handoverParts)),
            .gauge(
                "martlet_handover_exchanges_done", "Of these, those that are over.",
                Double(metrics.handoverPartsDone)),
            .gauge(
                "martlet_handover_bytes", "Bytes of the records that they have brought.",
                Double(metrics.handoverBytes)),
            .counter(
                "martlet_slots_erased_total",
                "Slots of keyspaces that this node held, gave away and has begun to delete.",
                metrics.slotsErased),
        ]
    }

    private static func exchangeFamilies(_ metrics: NodeMetrics) -> [MetricFamily] {
        [
            .counter(
                "martlet_exchanges_complete_total",
                "Exchanges that this node has begun with other owners and that are complete.",
                metrics.exchangesComplete),
            .counter(
                "martlet_exchanges_equal_total", "Of these, those that found nothing that differs.",
                metrics.exchangesEqual),
            .counter(
                "martlet_exchanges_failed_total", "Exchanges that ended early; they are begun again.",
                metrics.exchangesFailed),
            .gauge(
                "martlet_exchanges_running", "Exchanges that this node has under way.",
                Double(metrics.exchangesRunning)),
            .counter(
                "martlet_exchange_leaves_differing_total",
                "Leaves, a sixteenth of a slot each, that exchanges found to differ.",
                metrics.exchangeLeavesDiffering),
            .counter(
                "martlet_exchange_records_sent_total", "Records sent to owners that lacked them.",
                metrics.exchangeRecordsSent),
            .counter(
                "martlet_exchange_records_received_total", "Records received that this node lacked.",
                metrics.exchangeRecordsReceived),
            .counter(
                "martlet_exchange_bytes_sent_total", "Bytes of the records sent.", metrics.exchangeBytesSent),
            .counter(
                "martlet_exchange_bytes_received_total", "Bytes of the records received.",
                metrics.exchangeBytesReceived),
            .gauge(
                "martlet_merkle_leaves_dirty",
                "Leaves that were written since they were last summed up.", Double(metrics.leavesDirty)),
            .gauge(
                "martlet_merkle_leaves_recovered",
                "Leaves whose sums were known at the start, from the last run.",
                Double(metrics.leavesRecovered)),
            .counter(
                "martlet_merkle_records_scanned_total", "Records read to sum up leaves.",
                metrics.rescanRecords),
        ]
    }

    private static func hintFamilies(_ metrics: NodeMetrics, _ status: HintStatus) -> [MetricFamily] {
        func targets(_ value: (HintStatus.Target) -> Double) -> [MetricSample] {
            status.targets.map { MetricSample(value($0), labels: [.init("target", $0.name)]) }
        }
        return [
            MetricFamily(
                .gauge, "martlet_hints", "Writes kept for nodes that missed them.",
                targets { Double($0.hints) }),
            MetricFamily(
                .gauge, "martlet_hint_bytes", "Bytes of hints, before compression.",
                targets { Double($0.bytes) }),
            MetricFamily(
                .gauge, "martlet_hint_oldest_age_seconds", "Age of the oldest hint.",
                targets { $0.oldestAge?.seconds ?? 0 }),
            MetricFamily(
                .gauge, "martlet_hint_replay_bytes_per_second", "Bytes of hints delivered a second.",
                targets { $0.bytesPerSecond }),
            .gauge(
                "martlet_hint_replay_limit_bytes_per_second",
                "What replay may send a second, as the latency of clients' requests allows; 0 at rest.",
                metrics.hintBytesPerSecond),
            .counter("martlet_hints_kept_total", "Hints made durable.", metrics.hintsKept),
            .counter(
                "martlet_hints_kept_for_others_total",
                "Hints that this node took as a stand-in for an owner.", metrics.hintsKeptForOthers),
            .counter(
                "martlet_hints_delivered_total", "Hints that their target has acknowledged.",
                metrics.hintsDelivered),
            .counter(
                "martlet_hints_moved_total",
                "Hints that became hints for the present owners, because their target is none.",
                metrics.hintsMoved),
            .counter(
                "martlet_hints_overflow_total",
                "Hints not kept, or not any longer, for lack of room or for their age.",
                metrics.hintsDropped),
            .counter(
                "martlet_hints_corrupt_total", "Hints that could not be read, and were deleted.",
                metrics.hintsCorrupt),
            .counter(
                "martlet_hints_unowned_total", "Hints met whose keyspace nobody owns.", metrics.hintsUnowned),
            .counter(
                "martlet_purge_floors_raised_total", "Times that this node raised the purge floor of slots.",
                metrics.floorsRaised),
            .counter(
                "martlet_purge_puts_refused_total",
                "Puts stamped at or below what their slot has closed, which are stamped anew.",
                metrics.putsBelowFloor),
            .counter(
                "martlet_purge_late_versions_total",
                "Versions that came below the purge floor, and changed nothing.", metrics.versionsBelowFloor),
            .gauge(
                "martlet_hint_leaves_dirty", "Parts of the key space of which hints were dropped.",
                Double(metrics.hintLeavesDirty)),
            .counter(
                "martlet_stand_ins_total", "Owners for which another node stood in, under a sloppy quorum.",
                metrics.standIns),
            .gauge(
                "martlet_answered_puts", "Puts that are answered and wait for their last replicas.",
                Double(metrics.answeredPuts)),
        ]
    }

    private func replicaFamilies(_ metrics: NodeMetrics) -> [MetricFamily] {
        func bad(_ value: UInt64, _ kind: String) -> MetricSample {
            MetricSample(Double(value), labels: [.init("kind", kind)])
        }
        return [
            .counter(
                "martlet_replica_merges_total", "Merges that this node did as a replica.",
                metrics.replicaMerges),
            .counter(
                "martlet_replica_reads_total", "Reads that this node answered as a replica.",
                metrics.replicaReads),
            .counter(
                "martlet_replica_refusals_total", "Requests that this node refused as a replica.",
                metrics.replicaRefusals),
            .counter(
                "martlet_rebuilds_total", "Disks that had lost something and were rebuilt from the peers.",
                metrics.rebuilds),
            .gauge(
                "martlet_rebuild_exchanges", "Exchanges that rebuilding needs; 0 when the disk is whole.",
                Double(metrics.rebuildParts)),
            .gauge(
                "martlet_rebuild_exchanges_done", "Of these, those that are over.",
                Double(metrics.rebuildPartsDone)),
            .gauge(
                "martlet_unsynced_merges", "Merges that are not durable yet.",
                Double(metrics.unsyncedMerges)),
            .gauge(
                "martlet_remembered_stamps", "Stamps kept to tell a put that it is dominated.",
                Double(metrics.rememberedStamps)),
            MetricFamily(
                .counter, "martlet_bad_peer_input_total",
                "What peers sent and this node did not take, by kind.",
                [
                    bad(metrics.badPeerBytes, "bytes"), bad(metrics.clockPoisonIgnored, "clock"),
                    bad(metrics.gossipRefused, "gossip"),
                ]),
        ]
    }
}
