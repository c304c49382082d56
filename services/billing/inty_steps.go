package billing

import (
	"fmt"

	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/billing/inty"
)

// counts of pairs by state.
func (p *picture) counts() map[intyv1.PairState]int32 {
	counts := map[intyv1.PairState]int32{}
	for _, x := range p.pairs {
		state, _ := p.stateOf(x)
		counts[state]++
	}
	return counts
}

// steps of the guide, in its order, each as it stands.
func (p *picture) steps() []*intyv1.Step {
	return []*intyv1.Step{p.noteMappings(), p.disableModule(), p.mapCustomers(), p.importLicences(), p.repoint()}
}

func step(kind intyv1.StepKind, state intyv1.StepState, text, how string) *intyv1.Step {
	if state == intyv1.StepState_STEP_STATE_DONE {
		how = ""
	}
	return &intyv1.Step{Kind: kind, State: state, Text: text, How: how}
}

const (
	toDo   = intyv1.StepState_STEP_STATE_TO_DO
	partly = intyv1.StepState_STEP_STATE_PARTLY
	done   = intyv1.StepState_STEP_STATE_DONE
)

// progress is the state of something of which so much is left, of so much.
func progress(left, all int) intyv1.StepState {
	switch {
	case left == 0:
		return done
	case left < all:
		return partly
	}
	return toDo
}

func (p *picture) noteMappings() *intyv1.Step {
	kind := intyv1.StepKind_STEP_KIND_NOTE_MAPPINGS
	if p.MappingsTime.IsZero() {
		return step(kind, toDo, "The old mappings are not saved.", "Save them before anything is cleared in Halo: they are read from there, or from a CSV file.")
	}
	if len(p.mappings) == 0 {
		return step(kind, done, "Halo held no old mappings when they were to be saved. If they were noted elsewhere, save them from a CSV file.", "")
	}
	return step(kind, done, fmt.Sprintf("%d old mappings are saved.", len(p.mappings)), "")
}

func (p *picture) disableModule() *intyv1.Step {
	kind := intyv1.StepKind_STEP_KIND_DISABLE_MODULE
	switch {
	case p.Module == nil:
		return step(kind, toDo, "Nobody has looked whether the Inty module is cleared and disabled.", "Save the old mappings, clear the module out in Halo (Configuration > Integrations > Inty), disable it, and have it checked here.")
	case p.Module.done():
		return step(kind, done, "The Inty module is cleared and disabled.", "")
	}
	how := p.Module.toDo()[0]
	if p.MappingsTime.IsZero() {
		how = "Save the old mappings first. Then: " + how
	}
	return step(kind, progress(len(p.Module.toDo()), 3), fmt.Sprintf("Of the Inty module %d things are left to do in Halo.", len(p.Module.toDo())), how)
}

func (p *picture) mapCustomers() *intyv1.Step {
	kind := intyv1.StepKind_STEP_KIND_MAP
	if p.MappingsTime.IsZero() {
		return step(kind, toDo, "The old mappings are not saved yet.", "Save them first: the new mappings are proposed from them.")
	}
	counts, scope := map[intyv1.OldMappingState]int{}, 0
	for _, m := range p.oldMappings() {
		counts[m.GetState()]++
		if m.GetState() != intyv1.OldMappingState_OLD_MAPPING_STATE_EXCLUDED {
			scope++
		}
	}
	mapped := counts[intyv1.OldMappingState_OLD_MAPPING_STATE_MAPPED]
	text := fmt.Sprintf("%d of %d customers are mapped in Giacom; %d proposed, %d ambiguous, %d without a match, %d to be answered for, %d excluded (United States).", mapped, scope,
		counts[intyv1.OldMappingState_OLD_MAPPING_STATE_PROPOSED], counts[intyv1.OldMappingState_OLD_MAPPING_STATE_AMBIGUOUS], counts[intyv1.OldMappingState_OLD_MAPPING_STATE_NONE],
		counts[intyv1.OldMappingState_OLD_MAPPING_STATE_ASKED], counts[intyv1.OldMappingState_OLD_MAPPING_STATE_EXCLUDED])
	return step(kind, progress(scope-mapped, scope), text, "Accept the proposals, map the rest by hand, and say of the customers asked about whether they are in the United States.")
}

// inScope are the pairs that the migration is about.
func (p *picture) inScope() []inty.Pair {
	var out []inty.Pair
	for _, x := range p.pairs {
		if x.State != inty.Excluded && x.State != inty.Left {
			out = append(out, x)
		}
	}
	return out
}

func (p *picture) importLicences() *intyv1.Step {
	kind := intyv1.StepKind_STEP_KIND_IMPORT
	if p.ReadTime.IsZero() {
		return step(kind, toDo, "Inty's licences were not read from Halo yet.", "Have Halo read, then import the subscriptions.")
	}
	has := map[int64]bool{}
	for _, g := range p.giacom {
		has[g.ClientID] = true
	}
	customers, without, waiting := map[int64]bool{}, map[int64]bool{}, 0
	for _, x := range p.inScope() {
		customers[x.Licence.ClientID] = true
		if !has[x.Licence.ClientID] {
			without[x.Licence.ClientID] = true
		}
		if x.State == inty.Duplicate {
			waiting++
		}
	}
	text := fmt.Sprintf("Of %d customers with licences of Inty's, %d have their Giacom licences; %d licences are held as possible duplicates.", len(customers), len(customers)-len(without), waiting)
	how := "Import the subscriptions, then read Halo again."
	if waiting > 0 {
		how = "Adopt Inty's licences that are held as possible duplicates in place, or create new ones beside them."
	}
	return step(kind, progress(len(without)+min(waiting, 1), len(customers)+1), text, how)
}

func (p *picture) repoint() *intyv1.Step {
	kind := intyv1.StepKind_STEP_KIND_REPOINT
	if p.ReadTime.IsZero() {
		return step(kind, toDo, "Inty's licences were not read from Halo yet.", "Have Halo read first.")
	}
	left, moved, moving, adopted, ready := 0, 0, 0, 0, 0
	for _, x := range p.inScope() {
		if x.State == inty.Adopted {
			adopted++
			continue
		}
		for _, l := range p.links[x.Licence.ID] {
			switch l.state {
			case intyv1.LineState_LINE_STATE_MOVED:
				moved++
			case intyv1.LineState_LINE_STATE_MOVING, intyv1.LineState_LINE_STATE_RESTORING:
				moving++
			case intyv1.LineState_LINE_STATE_LINKED, intyv1.LineState_LINE_STATE_BY_HAND:
				left++
				if x.State == inty.Ready && l.state == intyv1.LineState_LINE_STATE_LINKED {
					ready++
				}
			}
		}
	}
	text := fmt.Sprintf("%d links of lines are re-pointed, %d are being written, %d are left.", moved, moving, left)
	if adopted > 0 {
		text += fmt.Sprintf(" %d licences were taken over in place: their lines need no re-pointing.", adopted)
	}
	how := "Look at the preview, then apply it."
	switch {
	case ready == 0 && left == 0:
		how = "Wait until the lines are written, or look why they are not."
	case ready == 0:
		how = "No line that is left can be re-pointed yet: decide about its licence, or leave that alone."
	}
	return step(kind, progress(left+moving, left+moving+moved), text, how)
}
