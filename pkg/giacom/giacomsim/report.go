package giacomsim

import "slices"

// reportBlocks are a customer's blocks in the report: one for each tenant and spelling of its name. A customer that has a
// tenant and no Microsoft subscription has a block with none.
func (c *customerEntry) reportBlocks() [][]byte {
	if c.blocks == nil {
		c.blocks = [][]byte{}
		for _, block := range c.group() {
			c.blocks = append(c.blocks, render(block))
		}
	}
	return c.blocks
}

func (c *customerEntry) group() []reportBlock {
	var blocks []reportBlock
	for _, sub := range c.subscriptions {
		if sub.GUID == "" {
			continue
		}
		name, tenant := c.nameFor(sub.Subscription), c.tenantFor(sub.Subscription)
		i := slices.IndexFunc(blocks, func(b reportBlock) bool {
			return b.CustomerName == name && (b.TenantID == nil) == (tenant == "") && (b.TenantID == nil || *b.TenantID == tenant)
		})
		if i < 0 {
			i = len(blocks)
			blocks = append(blocks, c.block(name, tenant))
		}
		blocks[i].Subscriptions = append(blocks[i].Subscriptions, c.reportRow(sub.Subscription))
	}
	if len(blocks) == 0 && c.TenantID != "" && !c.NotInList {
		blocks = append(blocks, c.block(c.Name, c.TenantID))
	}
	return blocks
}

func (c *customerEntry) block(name, tenant string) reportBlock {
	return reportBlock{MexID: c.MexID, TenantID: nullable(tenant), CustomerName: name, HasGDAP: c.HasGDAP, Subscriptions: []reportRow{}}
}

// reportBySubscription cuts the report into pages of size subscriptions, splitting blocks where a page ends.
func (a *account) reportBySubscription(offset, size int) (rows [][]byte, total int) {
	for _, c := range a.customers {
		for _, block := range c.group() {
			from := min(max(offset-total, 0), len(block.Subscriptions))
			to := min(max(offset+size-total, 0), len(block.Subscriptions))
			total += len(block.Subscriptions)
			if from < to {
				block.Subscriptions = block.Subscriptions[from:to]
				rows = append(rows, render(block))
			}
		}
	}
	return rows, total
}

// changeOne changes the price of the first subscription, as a price list does in the middle of a pull.
func (a *account) changeOne() {
	for _, sub := range a.all {
		if sub.Price.Valid {
			_ = a.update(sub.ID, func(s *Subscription) { s.Price.Decimal = s.Price.Decimal.Add(cent) })
			return
		}
	}
}
