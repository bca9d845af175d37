import MartletBase
import MartletNode
import MartletRESP
import MartletVersions

/// Writes the replies whose turn has come.
extension RedisSession {
    func writeReplies() {
        let before = writer.bytes.count
        while let command = commands.popDone() {
            // The protocol that was spoken when the command came: a HELLO behind it doesn't concern it.
            let version = writer.version
            writer.version = command.protocolVersion
            write(command)
            writer.version = version
        }
        if writer.bytes.count != before || state == .closing { server.touch(self) }
        if unsentBytes + heldBytes > server.settings.clientOutputMax {
            server.counters.cutForOutput += 1
            server.tell(.cut(peer: peer))
            cut()
        }
    }

    private func write(_ command: PendingCommand) {
        heldBytes -= command.bytes?.count ?? 0
        if case .ready = command.shape {
            if let bytes = command.bytes { writer.bytes.append(contentsOf: bytes.bytes) }
            return
        }
        let row = Int(command.row)
        let taken = backend.now.monotonic - command.began
        if let parts = command.parts {
            for record in parts.records { heldBytes -= record?.count ?? 0 }
            if let failure = parts.failure {
                let text = FailureText.text(failure, parts, named: server.settings.nodeName)
                server.counters.count(row, CommandOutcome(failure), taking: taken)
                if !command.isMuted { writer.error(text) }
                return
            }
        }
        server.counters.count(row, .done, taking: taken)
        if !command.isMuted { writeResult(command) }
    }

    private func writeResult(_ command: PendingCommand) {
        switch command.shape {
        case .ready: break
        case .ok: writer.ok()
        case .number: writer.integer(command.number)
        case .value: writer.value(of: command.bytes)
        case .part: writer.bulk(command.bytes ?? .empty)
        case .fact: writeFact(command)
        case .walk, .change: writer.bytes.append(contentsOf: (command.bytes ?? .empty).bytes)
        case .values:
            let records = command.parts?.records ?? []
            writer.array(count: records.count)
            for record in records { writer.value(of: record) }
        case .version:
            guard let parts = command.parts, let stamp = parts.stamp else {
                invariantBroken("a write succeeded without a version")
            }
            let key = parts.keys[0]
            let token = VersionToken.encode(stamp, key: key.span)
            writer.fields(count: 2)
            writer.field("context") { $0.bulk(token) }
            writer.field("version") { $0.bulk(token) }
        case .versions: writeVersions(command)
        }
    }

    /// VGET: the register's one version, or none.
    private func writeVersions(_ command: PendingCommand) {
        guard let parts = command.parts else { invariantBroken("a VGET without its key") }
        let key = parts.keys[0]
        let record = command.bytes
        let view = record.flatMap { try? RegisterView($0.span) }
        let isLive = view?.isLive(backend.now.wall) ?? false
        let isListed = isLive || (parts.showsMeta && view != nil)
        writer.fields(count: 2)
        writer.field("context") { writer in
            guard let view else { return writer.null() }
            writer.bulk(VersionToken.encode(view.stamp, key: key.span))
        }
        writer.field("values") { writer in
            writer.array(count: isListed ? 1 : 0)
            guard isListed, let record, let view else { return }
            guard parts.showsMeta else { return writer.value(of: record) }
            writer.fields(count: 5)
            writer.field("value") { isLive ? $0.value(of: record) : $0.null() }
            writer.field("version") { $0.bulk(VersionToken.encode(view.stamp, key: key.span)) }
            writer.field("writer") { $0.bulk(view.stamp.writer.description) }
            writer.field("expires_at_ms") { $0.integer(view.expiry ?? -1) }
            writer.field("tombstone") { $0.integer(view.isTombstone ? 1 : 0) }
        }
    }
}

extension ReplyWriter {
    /// The value of a record that has one, or null.
    mutating func value(of record: Blob?) {
        guard let record, let view = try? RegisterView(record.span) else { return null() }
        bulk(record.span.extracting(view.valueOffset..<(view.valueOffset + view.valueLength)))
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
