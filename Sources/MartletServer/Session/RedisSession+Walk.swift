import MartletBase
import MartletNode
import MartletRESP
import MartletRing
import MartletVersions

/// Carries out a `KeyWalk`: one page of it at a time is an operation of the session, the only one.
extension RedisSession {
    /// Starts a walk as the command in hand.
    func startWalk(
        _ purpose: KeyWalk.Purpose, ranges: [ClosedRange<Token>], pattern: GlobPattern? = nil
    ) {
        guard server.walkCount < Limits.scansMax else {
            return refuse(FailureText.overloaded(server.settings.nodeName, limit: "scans_max"))
        }
        let sequence = enqueue(.walk)
        server.walkCount += 1
        walk = KeyWalk(
            sequence, purpose, ranges: ranges, pattern: pattern, began: backend.now.monotonic)
        if ranges.isEmpty { return endWalk(nil) }
        walkOn()
    }

    /// Asks for the next page, once nothing else is under way. Where the core answers at once, page follows
    /// page here and not one within the other.
    func walkOn() {
        if isWalking { return }
        isWalking = true
        while operations.count == 0, let scan = walk?.nextPage() {
            let request = self.request(.empty, .scan(scan), level: readLevel)
            let operation = Operation(
                program: .walk, sequence: commands.next - 1, element: 0, key: .empty, request: request,
                writeLevel: nil)
            let (index, _) = operations.insert(operation, hash: 0)
            ask(index, request)
        }
        isWalking = false
    }

    /// The core's reply to the request of a page.
    func walked(_ reply: ClientReply) {
        switch reply {
        case .scanned(let page): take(page)
        case .failed(let failure): endWalk(.request(failure))
        case .read, .written, .defined, .acted: invariantBroken("a scan was answered with something else")
        }
    }

    private func take(_ page: KeyPage) {
        guard var walk else { invariantBroken("a page of no walk") }
        // Else there would be two of a buffer that grows.
        self.walk = nil
        let before = walk.keys.bytes.count
        let isDone = walk.take(page, now: backend.now.monotonic)
        heldBytes += walk.keys.bytes.count - before
        let size = unsentBytes + heldBytes + Limits.clientScanHeaderBytesMax
        self.walk = walk
        let max = server.settings.clientOutputMax
        if size > max {
            let command = table.rows[Int(commands[walk.sequence].row)].name.uppercased()
            endWalk(.refused(FailureText.tooManyKeys(command, bytes: size, max: max)))
        } else if isDone {
            endWalk(nil)
        } else {
            walkOn()
        }
    }

    private func endWalk(_ failure: OperationFailure?) {
        guard let walk else { invariantBroken("no walk ended") }
        self.walk = nil
        server.walkCount -= 1
        heldBytes -= walk.keys.bytes.count
        let sequence = walk.sequence
        if let failure {
            let parts = CommandParts()
            parts.fail(0, failure)
            commands[sequence].parts = parts
        } else {
            var reply = ReplyWriter(version: commands[sequence].protocolVersion)
            walk.write(to: &reply)
            commands[sequence].bytes = Blob(reply.bytes)
            heldBytes += reply.bytes.count
        }
        commands[sequence].outstanding = 0
        writeReplies()
        resume()
    }
}
