package org.cherche.opensearch;

import org.opensearch.cluster.ClusterState;
import org.opensearch.cluster.metadata.IndexAbstraction;
import org.opensearch.cluster.metadata.IndexMetadata;
import org.opensearch.cluster.service.ClusterService;

/** What the processors of one node share. */
final class Node {

    private final ClusterService clusterService;
    private final ChercheSettings settings;
    private final Sidecar sidecar;
    private final StoredParts.Reader stored;
    private final Stats stats = new Stats();
    private final Lanes lanes;

    Node(ClusterService clusterService, ChercheSettings settings, Sidecar sidecar, StoredParts.Reader stored) {
        this.clusterService = clusterService;
        this.settings = settings;
        this.sidecar = sidecar;
        this.stored = stored;
        this.lanes = new Lanes(settings::ingestConcurrency);
    }

    ChercheSettings settings() {
        return settings;
    }

    Sidecar sidecar() {
        return sidecar;
    }

    StoredParts.Reader stored() {
        return stored;
    }

    Stats stats() {
        return stats;
    }

    Lanes lanes() {
        return lanes;
    }

    ClusterState state() {
        return clusterService.state();
    }

    /**
     * The setup of the index that a name writes to.
     *
     * @throws IllegalStateException where it has none, naming the next step
     */
    IndexSetup setupForWriting(String name) {
        IndexAbstraction target = state().metadata().getIndicesLookup().get(name);
        IndexMetadata index = target == null ? null : target.getWriteIndex();
        IndexSetup setup = index == null ? null : IndexSetup.of(index);
        if (setup == null) {
            throw new IllegalStateException("index [" + name + "] is not set up for cherche: run cherche setup " + name);
        }
        return setup;
    }
}
