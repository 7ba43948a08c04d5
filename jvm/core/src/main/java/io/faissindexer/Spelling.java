package io.faissindexer;

import java.util.List;

/** Finds what somebody may have meant. */
public final class Spelling {
    private Spelling() {
    }

    /** The word with the fewest letters to add, drop or change; of equals the first. */
    public static String nearest(String word, List<String> known) {
        String best = known.get(0);
        for (String candidate : known) {
            if (distance(word, candidate) < distance(word, best)) {
                best = candidate;
            }
        }
        return best;
    }

    private static int distance(String from, String to) {
        int[] above = new int[to.length() + 1];
        for (int column = 0; column <= to.length(); column++) {
            above[column] = column;
        }
        for (int row = 1; row <= from.length(); row++) {
            int[] current = new int[to.length() + 1];
            current[0] = row;
            for (int column = 1; column <= to.length(); column++) {
                int change = from.charAt(row - 1) == to.charAt(column - 1) ? 0 : 1;
                int shifted = 1 + Math.min(above[column], current[column - 1]);
                current[column] = Math.min(above[column - 1] + change, shifted);
            }
            above = current;
        }
        return above[to.length()];
    }
}
