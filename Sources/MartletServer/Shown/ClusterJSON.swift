import MartletBase
import MartletGossip
import MartletNode
import MartletRing

/// The JSON of `status` and `ring`, as the contract fixes it: fields may be added, none changed or removed
/// without raising `format`.
enum ClusterJSON {
    static let format = 1

    static func status(_ status: NodeStatus, own: NodeID, usage: NodeUsage) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.member("format", format)
            json.member("cluster", status.cluster)
            json.member("ring", status.isFormed ? "formed" : "forming")
            json.member("ring_digest", hex(status.ringDigest))
            json.member("agreed", status.isAgreed)
            json.member("asked", status.asked)
            json.member("nodes") { json in
                json.array(status.members) { json, member in
                    node(member, usage: member.entry.id == own ? usage : nil, to: &json)
                }
            }
            json.member("purges") { json in json.array(status.purges) { purge($1, to: &$0) } }
            if let handover = status.handover {
                json.member("change") { change(handover, to: &$0) }
            }
            if !status.waits.isEmpty {
                json.member("waits") { json in json.array(status.waits) { $0.string($1) } }
            }
        }
        return json.bytes
    }

    /// The change of the ring that is in hand.
    private static func change(_ handover: HandoverStatus, to json: inout JSONWriter) {
        json.object { json in
            json.member("kind", handover.kind.text.description)
            switch handover.subject {
            case .node: json.member("node", handover.name)
            case .keyspace:
                json.member("node", Int?.none)
                json.member("keyspace", handover.name)
            }
            json.member("since_s", Int(handover.since.seconds))
            // This node's own, of those that bring it what it gains.
            json.member("exchanges", handover.parts)
            json.member("done", handover.done)
            json.member("percent", rounded(100 * handover.share, decimals: 1))
            json.member("bytes", handover.bytes)
            json.member("rate_bytes_per_s", Int(handover.bytesPerSecond))
            json.member("eta_s", handover.eta.map { rounded($0.seconds, decimals: 1) })
            json.member("waits") { json in
                json.array(handover.waits) { json, wait in
                    json.object { json in
                        json.member("node", wait.name)
                        json.member("waits_for", wait.obstacle.text.description)
                    }
                }
            }
            json.member("waiting", handover.waiting)
        }
    }

    private static func node(_ member: NodeStatus.Member, usage: NodeUsage?, to json: inout JSONWriter) {
        let entry = member.entry
        json.object { json in
            json.member("id", entry.id.description)
            json.member("name", entry.name)
            json.member("address", entry.address.description)
            json.member("ports") { json in
                json.object { json in
                    json.member("peers", Int(entry.ports.peers))
                    json.member("redis", Int(entry.ports.redis))
                    json.member("redis_cluster", Int(entry.ports.redisCluster))
                    json.member("http", Int(entry.ports.http))
                }
            }
            json.member("zone", entry.zone)
            json.member("datacenter", entry.dataCenter)
            json.member("state", entry.shownState)
            json.member("liveness", liveness(member.liveness))
            json.member("tokens", entry.tokens.count)
            json.member("owns_percent", rounded(member.ownsPercent, decimals: 2))
            json.member("bytes", usage?.storedBytes)
            json.member("hint_bytes", usage?.hintBytes)
            json.member("uptime_s", usage.map { Int($0.uptime.seconds) })
            json.member("version", entry.version)
            json.member(
                "clock_offset_ms",
                member.clockOffset.map { rounded(Double($0.microseconds) / 1_000, decimals: 1) })
            // Known to the node itself; null to others, and where it is what the ring says.
            if let configured = member.configured {
                json.member("configured") { json in
                    json.object { json in
                        json.member("zone", configured.zone)
                        json.member("datacenter", configured.dataCenter)
                    }
                }
            } else {
                json.member("configured", Int?.none)
            }
            if member.entry.state == .rebuilding {
                // Known to the node itself; null to others.
                if let progress = member.rebuild {
                    json.member("rebuild") { rebuild(progress, to: &$0) }
                } else {
                    json.member("rebuild", Int?.none)
                }
            }
        }
    }

    private static func rebuild(_ progress: RebuildProgress, to json: inout JSONWriter) {
        json.object { json in
            json.member("exchanges", progress.parts)
            json.member("done", progress.done)
            json.member("percent", rounded(100 * progress.share, decimals: 1))
            json.member("records", progress.records)
            json.member("bytes", progress.bytes)
            json.member("running_s", rounded(progress.running.seconds, decimals: 1))
            json.member("eta_s", progress.eta.map { rounded($0.seconds, decimals: 1) })
            json.member("waits") { json in json.array(progress.waits) { $0.string($1) } }
        }
    }

    /// How far a keyspace's tombstones may be deleted, and who is in the way.
    private static func purge(_ purge: PurgeStatus, to json: inout JSONWriter) {
        json.object { json in
            json.member("keyspace", purge.keyspace)
            json.member("floor_ms", purge.floor.map { Int($0.milliseconds) })
            json.member("blocked_by") { json in
                json.array(purge.blockers) { json, blocker in
                    json.object { json in
                        json.member("node", blocker.name)
                        json.member("waits_for", blocker.obstacle.text.description)
                        json.member("since_s", rounded(blocker.since.seconds, decimals: 1))
                    }
                }
            }
        }
    }

    /// A node that said goodbye is as unreachable as one that died; its `state` tells them apart.
    private static func liveness(_ liveness: Liveness) -> String {
        switch liveness {
        case .up: "up"
        case .suspect: "suspect"
        case .down, .left: "down"
        }
    }

    static func hints(node: String, _ status: HintStatus) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.member("format", format)
            json.member("nodes") { json in
                json.array([node]) { json, node in
                    json.object { json in
                        json.member("node", node)
                        json.member("overflow_total", Int(status.dropped))
                        json.member("targets") { json in json.array(status.targets) { target($1, to: &$0) } }
                    }
                }
            }
        }
        return json.bytes
    }

    private static func target(_ target: HintStatus.Target, to json: inout JSONWriter) {
        json.object { json in
            json.member("target", target.name)
            json.member("hints", target.hints)
            json.member("bytes", target.bytes)
            json.member("oldest_age_s", target.oldestAge.map { rounded($0.seconds, decimals: 1) })
            json.member("rate_bytes_per_s", Int(target.bytesPerSecond))
            json.member("eta_s", target.eta.map { rounded($0.seconds, decimals: 1) })
            json.member("waits_for", target.waitsFor.rawValue)
        }
    }

    /// - Parameter key: adds its slot, token and owners.
    static func ring(_ placement: Placement, digest: UInt64, key: Blob?) -> [UInt8] {
        func names(_ owners: Owners, to json: inout JSONWriter) {
            json.array(owners.indices) { $0.string(placement.members[owners[$1]].name) }
        }
        var json = JSONWriter()
        json.object { json in
            json.member("format", format)
            json.member("keyspace", placement.keyspace.name)
            json.member("replication_factor") { factor(placement.keyspace.replication, to: &$0) }
            json.member("ring_digest", hex(digest))
            json.member("tokens") { json in
                json.array(placement.tokenOwners) { json, token in
                    json.object { json in
                        json.member("slot", Int(token.slot.index))
                        json.member("node", placement.members[token.ordinal].name)
                    }
                }
            }
            json.member("ranges") { json in
                json.array(placement.ranges) { json, range in
                    json.object { json in
                        json.member("first", Int(range.first.index))
                        json.member("last", Int(range.last.index))
                        json.member("replicas") { names(range.owners, to: &$0) }
                    }
                }
            }
            guard let key else { return }
            let token = Token(key: key)
            json.member("key", key.text ?? base64(key))
            json.member("encoding", key.text == nil ? "base64" : "utf8")
            json.member("slot", Int(token.slot.index))
            json.member("token", hex(token.value))
            json.member("replicas") { names(placement.owners(of: token.slot), to: &$0) }
        }
        return json.bytes
    }

    /// A number, or an object of a number for each data centre.
    static func factor(_ replication: ReplicationFactor, to json: inout JSONWriter) {
        switch replication {
        case .count(let count): json.number(count)
        case .perDataCenter(let list):
            json.object { json in
                for each in list { json.member(each.name, each.count) }
            }
        }
    }

    /// RFC 4648, section 4, padded: what JSON readers expect of "base64".
    private static func base64(_ blob: Blob) -> String {
        let text = Base64URL.encode(blob.bytes).map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 }
        return String(text) + String(repeating: "=", count: (4 - text.count % 4) % 4)
    }

    static func rounded(_ value: Double, decimals: Int) -> Double {
        let scale = decimals == 1 ? 10.0 : 100.0
        return (value * scale).rounded() / scale
    }
}
