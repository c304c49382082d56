package ui

import (
	"math"
	"strconv"
)

// Bars is a chart of bars, drawn on the server. Beside the picture stands the same as a table, for
// those who do not see it.
type Bars struct {
	Title string
	// Series are stacked upon each other in each bar.
	Series []Series
	Bars   []Bar
	// Money marks values as amounts in this currency; empty: they are counts.
	Currency string
}

// Series is a part of every bar.
type Series struct {
	Name string
	Tone Tone
}

// Bar has a value for each series, none of them negative.
type Bar struct {
	Label  string
	Values []float64
}

func (Bars) block() string { return "chart" }

// Drawing is a chart measured out, in SVG's units.
type Drawing struct {
	Width, Height int
	Rects         []Rect
	Grid          []Tick
	Labels        []Tick
}

// Rect of one value.
type Rect struct {
	X, Y, W, H string
	Tone       Tone
	Title      string
}

// Tick is a line or a label at a place.
type Tick struct {
	X, Y string
	Text string
}

const (
	chartWidth, chartHeight = 720, 220
	chartLeft, chartBottom  = 56, 26
	chartTop                = 8
)

func drawBars(c Bars) Drawing {
	d := Drawing{Width: chartWidth, Height: chartHeight}
	most := 0.0
	for _, b := range c.Bars {
		sum := 0.0
		for _, v := range b.Values {
			sum += v
		}
		most = math.Max(most, sum)
	}
	top, step := scale(most)
	floor := float64(chartHeight - chartBottom)
	y := func(v float64) float64 { return floor - v/top*(floor-chartTop) }
	for v := 0.0; v <= top+step/2; v += step {
		d.Grid = append(d.Grid, Tick{Y: num(y(v)), Text: c.label(v)})
	}
	if len(c.Bars) == 0 {
		return d
	}
	slot := float64(chartWidth-chartLeft) / float64(len(c.Bars))
	width := math.Min(slot*0.64, 48)
	every := int(math.Ceil(72 / slot)) // so that labels do not run into each other, on a phone either
	for i, b := range c.Bars {
		x, sum := float64(chartLeft)+slot*float64(i)+(slot-width)/2, 0.0
		for j, v := range b.Values {
			if v <= 0 || j >= len(c.Series) {
				continue
			}
			bottom := y(sum)
			sum += v
			d.Rects = append(d.Rects, Rect{X: num(x), Y: num(y(sum)), W: num(width), H: num(bottom - y(sum)), Tone: c.Series[j].Tone,
				Title: b.Label + ": " + c.Series[j].Name + " " + c.Text(v)})
		}
		if i%every == 0 {
			d.Labels = append(d.Labels, Tick{X: num(x + width/2), Y: num(float64(chartHeight - 8)), Text: b.Label})
		}
	}
	return d
}

// scale chooses a top that is a round number not below most, and the step between lines.
func scale(most float64) (top, step float64) {
	if most <= 0 {
		return 1, 1
	}
	rough := most / 4
	magnitude := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if step = m * magnitude; step >= rough {
			break
		}
	}
	if most <= 4 { // counts of a few have no halves
		step = 1
	}
	return math.Ceil(most/step) * step, step
}

// Text of a value.
func (c Bars) Text(v float64) string {
	if c.Currency == "" {
		return Count(int64(math.Round(v)))
	}
	return symbols[c.Currency] + thousands(strconv.FormatFloat(v, 'f', 2, 64))
}

func (c Bars) label(v float64) string {
	if c.Currency == "" {
		return Count(int64(math.Round(v)))
	}
	return symbols[c.Currency] + Count(int64(math.Round(v)))
}

func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }
