import MartletBase
import MartletNode
import MartletRESP
import MartletVersions

/// Writes the replies whose turn has come.
extension RedisSession {
    func writeReplies() {
        var hasWritten = false
        while let command = pipeline.popDone() {
            write(command)
            hasWritten = true
        }
        if hasWritten || state == .closing { server.touch(self) }
        if unsentBytes + pipeline.heldBytes > server.settings.clientOutputMax {
            server.counters.cutForOutput += 1
            server.tell(.cut(peer: peer))
            cut()
        }
    }

    private func write(_ command: PendingCommand) {
        // Counted when it was carried out, and not muted.
        if case .ready = command.shape, pipeline.writePlain(command, backend.now.wall) { return }
        let row = Int(command.row)
        let taken = backend.now.monotonic - command.began
        if let parts = command.parts {
            for record in parts.records { pipeline.heldBytes -= record?.count ?? 0 }
            if let failure = parts.failure {
                let text = FailureText.text(failure, parts, named: server.settings.nodeName)
                server.counters.count(row, CommandOutcome(failure), taking: taken)
                if !command.isMuted { pipeline.writer.error(text) }
                return
            }
        }
        server.counters.count(row, .done, taking: taken)
        if !command.isMuted, !pipeline.writePlain(command, backend.now.wall) { writeResult(command) }
    }

    private func writeResult(_ command: PendingCommand) {
        // The protocol that was spoken when the command came: a HELLO behind it doesn't concern it.
        let version = pipeline.writer.version
        pipeline.writer.version = command.protocolVersion
        defer { pipeline.writer.version = version }
        switch command.shape {
        case .ready, .ok, .number, .value, .part, .walk, .change:
            invariantBroken("a plain reply was not written as one")
        case .fact: writeFact(command)
        case .values:
            let records = command.parts?.records ?? []
            writer.array(count: records.count)
            for record in records { writer.value(of: record, backend.now.wall) }
        case .version:
            guard let parts = command.parts, let stamp = parts.stamp else {
                invariantBroken("a write succeeded without a version")
            }
            let key = parts.keys[0]
            let token = VersionToken.encode(stamp, key: key.span)
            writer.fields(count: 2)
            if var context = parts.context {
                // Who has put a version has seen it, and what it replaced; nothing else.
                context.insert(stamp)
                let seen = VersionToken.encode(context, key: key.span)
                writer.field("context") { $0.bulk(seen) }
            } else {
                writer.field("context") { $0.bulk(token) }
            }
            writer.field("version") { $0.bulk(token) }
        case .versions: writeVersions(command)
        }
    }

    /// VGET: the context, and the versions that a reader sees; with META tombstones too.
    private func writeVersions(_ command: PendingCommand) {
        guard let parts = command.parts else { invariantBroken("a VGET without its key") }
        let key = parts.keys[0]
        let now = backend.now.wall
        let record = command.bytes ?? .empty
        var listed: [VersionView] = []
        Record.forEachVersion(record.span) { version in
            if parts.showsMeta || version.isLive(now) { listed.append(version) }
        }
        // The oldest first, so that the last writer's is the last.
        listed.sort { $0.stamp < $1.stamp }
        writer.fields(count: 2)
        writer.field("context") { writer in
            if RecordKind(of: record.span) == .siblings {
                writer.bulk(VersionToken.encode(Record.context(of: record.span), key: key.span))
            } else if let summary = try? RecordSummary(record.span) {
                writer.bulk(VersionToken.encode(summary.stamp, key: key.span))
            } else {
                writer.null()
            }
        }
        writer.field("values") { writer in
            writer.array(count: listed.count)
            for version in listed {
                guard parts.showsMeta else {
                    writer.bulk(version.value(in: record.span))
                    continue
                }
                writer.fields(count: 5)
                writer.field("value") { writer in
                    if version.isLive(now) {
                        writer.bulk(version.value(in: record.span))
                    } else {
                        writer.null()
                    }
                }
                writer.field("version") { $0.bulk(VersionToken.encode(version.stamp, key: key.span)) }
                writer.field("writer") { $0.bulk(version.stamp.writer.description) }
                writer.field("expires_at_ms") { $0.integer(version.expiry ?? -1) }
                writer.field("tombstone") { $0.integer(version.isTombstone ? 1 : 0) }
            }
        }
    }
}

extension ReplyWriter {
    /// The value of a record that has one, or null.
    mutating func value(of record: Blob?, _ wall: WallTime) {
        guard let record else { return null() }
        if let view = try? RegisterView(record.span) {
            bulk(record.span.extracting(view.valueOffset..<(view.valueOffset + view.valueLength)))
        } else if let version = Record.live(record.span, wall).first {
            bulk(version.value(in: record.span))
        } else {
            null()
        }
    }

    /// Fields that RESP3 names and RESP2 gives in order.
    mutating func fields(count: Int) {
        if version == .two { array(count: count) } else { map(count: count) }
    }

    mutating func field(_ name: StaticString, _ value: (inout ReplyWriter) -> Void) {
        if version == .three { bulk(name.description) }
        value(&self)
    }

    /// An error of any bytes; line ends within it become spaces, those at its end are left out.
    mutating func error(bytes text: [UInt8]) {
        bytes.append(UInt8(ascii: "-"))
        let end = text.lastIndex { $0 != 10 && $0 != 13 } ?? 0
        for byte in text[...end] { bytes.append(byte == 10 || byte == 13 ? UInt8(ascii: " ") : byte) }
        bytes.append(13)
        bytes.append(10)
    }
}
