import MartletBase
import MartletLoop
import MartletRESP

/// Who owns what: asked of one node after the other, one question at a time.
extension ClientCore {
    func link(to address: Address) -> NodeLink {
        if let known = links.first(where: { $0.address == address }) { return known }
        let link = NodeLink(address, self)
        links.append(link)
        links.sort { $0.address < $1.address }
        return link
    }

    func becameReady(_ link: NodeLink) {
        if starting != nil { refreshTimer?.arm(at: now) }
        retireIfDone(link)
    }

    /// Something went wrong that a newer topology may explain.
    func noticeTrouble() {
        schedule.notice(now: now)
        armRefresh()
    }

    private func armRefresh() {
        if let due = schedule.dueAt, !isClosing { refreshTimer?.arm(at: due) }
    }

    /// Resumes with the topology that a refresh brings which begins from now on.
    func freshTopology(_ continuation: UnsafeContinuation<Topology?, Never>) {
        if isClosing { return answer(continuation, topology) }
        refreshWaiters.append((continuation, after: refreshRound))
        refresh()
    }

    func resumeRefreshWaiters() {
        let isOver: ((UnsafeContinuation<Topology?, Never>, after: Int)) -> Bool = { [self] in
            $0.after < refreshRound || isClosing
        }
        for waiter in refreshWaiters where isOver(waiter) { answer(waiter.0, topology) }
        refreshWaiters.removeAll(where: isOver)
        if !refreshWaiters.isEmpty { noticeTrouble() }
    }

    func refresh() {
        if schedule.isUnderWay || isClosing { return }
        refreshRound += 1
        // In turn, so that one node's false or old view isn't the only one that is heard.
        guard let link = nextLink(where: { $0.isWilling(now) }) ?? nextLink(where: \.isReady) else {
            for seed in settings.seeds { self.link(to: seed).unretire() }
            schedule.begin()
            return endRefresh(isSuccess: false)
        }
        schedule.begin()
        counters.refreshes += 1
        let words = [Bytes("CLUSTER"), Bytes("SLOTS")]
        let command = Command(.words(words), .node(link.address), isRead: true)
        let sink = Operation.Sink.own { [unowned self] in
            if !isClosing { refreshed($0, link.address) }
        }
        begin(command, sink, nil, within: settings.connectTimeout)
    }

    private func refreshed(_ outcome: Outcome, _ asked: Address) {
        switch outcome {
        case .success(let reply):
            guard let told = try? Topology(clusterSlots: reply, asked: asked) else {
                return endRefresh(isSuccess: false)
            }
            adopt(told)
        case .failure(.server):
            // One Redis: it has no parts to tell of, and any node answers for all.
            adopt(nil)
        case .failure: return endRefresh(isSuccess: false)
        }
        endRefresh(isSuccess: true)
        started(nil)
    }

    private func endRefresh(isSuccess: Bool) {
        schedule.end(now: now, isSuccess: isSuccess, &random)
        if starting != nil, !isSuccess { schedule.notice(now: now) }
        armRefresh()
        resumeRefreshWaiters()
    }

    private func adopt(_ told: Topology?) {
        if told != topology || links.contains(where: \.isRetired) || topologyLinks.isEmpty {
            if told != topology { counters.topologyChanges += 1 }
            topology = told
            let wanted = told?.nodes ?? settings.seeds
            for address in wanted { link(to: address).unretire() }
            topologyLinks = told?.nodes.map { link(to: $0) } ?? []
            for link in links where !wanted.contains(link.address) { link.retire() }
        }
        for link in links { retireIfDone(link) }
    }

    /// Lets go of a node that isn't one any more, once nothing of it is under way.
    func retireIfDone(_ link: NodeLink) {
        guard link.isRetired, link.requestCount == 0, !isClosing else { return }
        links.removeAll { $0 === link }
        link.close()
    }
}
