// The binary-trees benchmark of the Benchmarks Game, as in benches/src/bin/gc/trees.rs.
package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

type tree struct{ left, right *tree }

func build(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{build(depth - 1), build(depth - 1)}
}

func (t *tree) count() int {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.count() + t.right.count()
}

func main() {
	depth := 18
	if len(os.Args) > 1 {
		depth, _ = strconv.Atoi(os.Args[1])
	}
	nodes := func(depth int) int { return 2<<depth - 1 }
	since := time.Now()
	if build(depth+1).count() != nodes(depth+1) {
		panic("stretch")
	}
	lasting := build(depth)
	total := 0
	for small := 4; small <= depth; small += 2 {
		trees, sum := 1<<(depth-small+4), 0
		for i := 0; i < trees; i++ {
			sum += build(small).count()
		}
		if sum != trees*nodes(small) {
			panic("sum")
		}
		total += sum
	}
	if lasting.count() != nodes(depth) {
		panic("lasting")
	}
	took := time.Since(since)
	fmt.Printf("Go: binary-trees depth %d: %.3f s, %.1f ns a node\n", depth, took.Seconds(), float64(took.Nanoseconds())/float64(total))
}
