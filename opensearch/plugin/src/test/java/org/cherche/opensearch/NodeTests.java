package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchRequest;

class NodeTests {

    private final TestNode test = new TestNode();

    @AfterEach
    void close() {
        test.close();
    }

    private IndexSetup reading(String... indices) {
        return test.node.searched(new SearchRequest(indices)).setup();
    }

    @Test
    void anAliasWritesToItsIndex() {
        assertEquals(test.node.setupForWriting("books"), test.node.setupForWriting("library"));
        assertNotEquals(test.node.setupForWriting("books"), test.node.setupForWriting("films"));
    }

    @Test
    void dateMathWritesToTheIndexThatItStandsFor() {
        assertNotNull(test.node.setupForWriting("<books>"));
        assertEquals(test.node.setupForWriting("books"), test.node.setupForWriting("<books>"));
        assertNull(test.node.setupForWriting("<books-{now/nope}>"));
    }

    @Test
    void anIndexThatIsNotSetUpHasNone() {
        assertNull(test.node.setupForWriting("plain"));
        assertNull(test.node.setupForWriting("missing"));
    }

    @Test
    void aSetupThatCannotBeReadIsNoneAndASearchSaysWhy() {
        assertNull(test.node.setupForWriting("broken"));
        for (String[] indices : new String[][] { { "broken" }, { "books", "broken" } }) {
            Node.Searched searched = test.node.searched(new SearchRequest(indices));
            assertNull(searched.setup());
            assertTrue(searched.problem().startsWith("index [broken] has a _meta.cherche that this plugin cannot read: run "));
        }
        assertTrue(test.node.searched(new SearchRequest("books", "films")).problem().endsWith(": run cherche setup"));
    }

    @Test
    void aSearchNeedsOneSetup() {
        assertEquals(test.node.setupForWriting("books"), reading("books", "papers", "library"));
        assertNotNull(reading("b*s", "library"));
        assertNull(reading("books", "films"));
        assertNull(reading("books", "plain"));
    }

    @Test
    void theNarrowestIndexLimitsTheWindow() {
        assertEquals(10_000, test.node.searched(new SearchRequest("books", "papers")).maxWindow());
        assertEquals(6, test.node.searched(new SearchRequest("books", "narrow")).maxWindow());
    }

    @Test
    void aMissingIndexIsLeftToTheSearch() {
        assertNull(reading("missing"));
        assertNull(reading("no*match"));
    }
}
