import MartletBase
import MartletNode

extension ClusterJSON {
    static func repair(node: String, _ status: RepairStatus, _ metrics: NodeMetrics) -> [UInt8] {
        var json = JSONWriter()
        json.object { json in
            json.member("format", format)
            json.member("nodes") { json in
                json.array([node]) { json, node in
                    json.object { json in
                        json.member("node", node)
                        json.member("waiting", status.waiting)
                        json.member("asked_complete_total", Int(status.askedComplete))
                        json.member("asked_failed_total", Int(status.askedFailed))
                        json.member("complete_total", Int(metrics.exchangesComplete))
                        json.member("failed_total", Int(metrics.exchangesFailed))
                        json.member("leaves_differing_total", Int(metrics.exchangeLeavesDiffering))
                        json.member("records_sent_total", Int(metrics.exchangeRecordsSent))
                        json.member("records_received_total", Int(metrics.exchangeRecordsReceived))
                        json.member(
                            "bytes_total", Int(metrics.exchangeBytesSent + metrics.exchangeBytesReceived))
                        json.member("leaves_dirty", metrics.leavesDirty)
                        json.member("exchanges") { json in
                            json.array(status.running) { running($1, to: &$0) }
                        }
                    }
                }
            }
        }
        return json.bytes
    }

    private static func running(_ running: RepairStatus.Running, to json: inout JSONWriter) {
        let progress = running.progress
        json.object { json in
            json.member("peer", running.peer)
            json.member("keyspace", running.keyspace)
            json.member("purpose", progress.purpose.rawValue)
            json.member("leaves", progress.leaves)
            json.member("leaves_left", progress.leavesLeft)
            json.member("leaves_differing", progress.leavesDiffering)
            json.member("leaves_done", progress.leavesDone)
            json.member("records_sent", progress.recordsSent)
            json.member("records_received", progress.recordsReceived)
            json.member("bytes", progress.bytesSent + progress.bytesReceived)
            json.member("took_s", rounded(running.took.seconds, decimals: 1))
            json.member("eta_s", running.eta.map { rounded($0.seconds, decimals: 1) })
        }
    }
}
