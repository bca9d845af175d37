import MartletBase

/// What is said of members: adopting it, refuting it, forgetting it.
extension Gossip {
    /// How a claim came, which decides what is done with it beside adopting it.
    enum Source {
        /// The member's own packet.
        case itself
        /// News.
        case news
        /// A push-pull's list; passed on unless it tells us only what everybody else knows.
        case sync(NodeID, spread: Bool)
    }

    /// The header of a packet: its sender is up, or leaving, at that incarnation.
    mutating func hear(_ sender: Member, _ now: Now, _ effects: inout [GossipEffect]) {
        guard let index = table.index(of: sender.id) else {
            adopt(Claim(member: sender), replacing: nil, from: .itself, now, &effects)
            return
        }
        let held = table[index]
        if !sender.overrides(held) { return }
        adopt(Claim(member: sender), replacing: index, from: .itself, now, &effects)
        // Back from the dead: one push-pull brings both sides of a healed partition together.
        if !held.liveness.isPresent, sender.liveness == .up, isActive, nextReunion <= now.monotonic {
            nextReunion = now.monotonic + settings.probeInterval
            askForSync(sender.address, &effects)
        }
    }

    mutating func apply(
        _ claim: Claim, from source: Source, _ now: Now, _ effects: inout [GossipEffect]
    ) {
        if claim.member.id == own.id {
            answerClaimAboutUs(claim.member, now, &effects)
            return
        }
        if isForgotten(claim.member.id) { return }
        guard let index = table.index(of: claim.member.id) else {
            adopt(claim, replacing: nil, from: source, now, &effects)
            return
        }
        var claim = claim
        let held = table[index]
        // The other half of a partition that just healed holds ours down: ask ours before believing it.
        if case .sync(let peer, _) = source, claim.member.liveness == .down, held.liveness.isPresent {
            claim.member.liveness = .suspect
            claim.accusers = [peer.short]
        }
        if claim.member.overrides(held) {
            // Only the member itself says where it is, so the address comes with `up` claims alone.
            if claim.member.liveness != .up { claim.member.address = held.address }
            adopt(claim, replacing: index, from: source, now, &effects)
        } else if claim.member.liveness == .suspect, held.liveness == .suspect,
            claim.member.incarnation == held.incarnation
        {
            confirmSuspicion(held, by: claim.accusers, &effects)
        }
    }

    /// Takes over a claim that is news to us.
    mutating func adopt(
        _ claim: Claim, replacing index: Int?, from source: Source, _ now: Now,
        _ effects: inout [GossipEffect]
    ) {
        let member = claim.member
        let was = index.map { table[$0] }
        if let index {
            table.replace(index, by: member, at: now.monotonic)
        } else {
            guard makeRoom(&effects) else { return }
            table.insert(member, at: now.monotonic)
        }
        if was?.address != member.address, let other = table.other(than: member.id, at: member.address) {
            effects.append(.report(.addressClash(member.id, other: other, member.address)))
        }
        if was?.liveness == .suspect { suspicions.removeAll { $0.id == member.id } }
        if member.liveness == .suspect { beginSuspicion(member, accusers: claim.accusers, at: now.monotonic) }
        if !member.liveness.isPresent { probes.removeAll { $0.target == member.id } }
        if member.liveness.isPresent, was?.liveness.isPresent != true { joinProbeOrder(member.id) }
        if case .sync(_, spread: false) = source {
            news.withdraw(.member(member.id))
        } else {
            offer(member, accusers: claim.accusers.count)
        }
        effects.append(.liveness(member, was: was?.liveness))
        reconsiderSuspicions()
        if member.liveness == .suspect, was?.liveness != .suspect, case .news = source {
            considerSecondOpinion(member.id, now, &effects)
        }
    }

    /// False when the table is full of members that take part.
    private mutating func makeRoom(_ effects: inout [GossipEffect]) -> Bool {
        if table.count < Limits.gossipMembersMax { return true }
        guard let id = table.evictable, id != own.id else {
            effects.append(.refused("members full"))
            return false
        }
        remove(id)
        effects.append(.report(.evicted(id)))
        return true
    }

    /// Queues what is believed of a member for the next packets.
    mutating func offer(_ member: Member, accusers: Int) {
        news.offer(.member(member.id), bytes: PacketCodec.claimBytes(member, accusers: accusers))
    }

    // MARK: About ourselves

    /// Refutes what is wrongly said of us by a higher incarnation than was said.
    private mutating func answerClaimAboutUs(
        _ said: Member, _ now: Now, _ effects: inout [GossipEffect]
    ) {
        let elsewhere = said.liveness == .up && said.address != own.address
        guard said.overrides(own) || elsewhere && said.incarnation == own.incarnation else { return }
        if elsewhere { effects.append(.report(.identityClash(said.address))) }
        if own.liveness == .left {
            setOwn(incarnation: said.incarnation, .left, at: now.monotonic)
            return
        }
        setOwn(incarnation: min(said.incarnation + 1, Limits.incarnationMax), .up, at: now.monotonic)
        if said.liveness == .up { return }
        changeLocalHealth(by: 1, &effects)
        effects.append(.report(.refuted(incarnation: own.incarnation, accusedAs: said.liveness)))
    }

    mutating func changeLocalHealth(by change: Int, _ effects: inout [GossipEffect]) {
        let score = min(max(localHealth + change, 0), settings.localHealthMax)
        if score == localHealth { return }
        localHealth = score
        effects.append(.report(.localHealth(score)))
    }

    /// Whether we were started and didn't leave.
    var isActive: Bool { isStarted && own.liveness == .up }

    // MARK: Forgetting

    func isForgotten(_ id: NodeID) -> Bool { !forgotten.isEmpty && forgottenSet.contains(id) }

    mutating func forget(_ id: NodeID) {
        invariant(id != own.id, "a node that was removed stops; it doesn't forget itself")
        if table.index(of: id) != nil { remove(id) }
        if isForgotten(id) { return }
        if forgotten.count >= Limits.forgottenMembersMax { forgottenSet.remove(forgotten.removeFirst()) }
        forgotten.append(id)
        forgottenSet.insert(id)
    }

    private mutating func remove(_ id: NodeID) {
        guard let index = table.index(of: id) else { return }
        table.remove(index)
        news.withdraw(.member(id))
        suspicions.removeAll { $0.id == id }
        probes.removeAll { $0.target == id }
        relays.removeAll { $0.target == id }
        reconsiderSuspicions()
    }
}
