package mapper

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// alertAfter is how long a customer with subscriptions may stay unmapped.
func alertAfter(c *connectionv1.Connection) time.Duration {
	if d := c.GetCustomers().GetUnmappedAlertAfter(); d != nil {
		return d.AsDuration()
	}
	return 24 * time.Hour
}

// GetMappingSummary adds up the table of a connection.
func (s *service) GetMappingSummary(ctx context.Context, req *mappingv1.GetMappingSummaryRequest) (*mappingv1.MappingSummary, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	out, err := s.summary(ctx, c)
	if err != nil {
		return nil, err
	}
	var read time.Time
	err = s.Pool.QueryRow(ctx, `select read_at, (select count(*) from clients where instance = $1 and not inactive), (select count(*) from ties where instance = $1 and native)
		from instances where instance = $1`, c.GetHalo().GetInstance()).Scan(&read, &out.HaloCustomers, &out.NativeMappings)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return out, nil
	case err != nil:
		return nil, fmt.Errorf("count the customers of Halo: %w", err)
	}
	out.HaloReadTime = timestamppb.New(read)
	return out, nil
}

func (s *service) summary(ctx context.Context, c *connectionv1.Connection) (*mappingv1.MappingSummary, error) {
	args := append(basesOf([]*connectionv1.Connection{c}).args(), s.Clock.Now(), c.GetSlug())
	rows, err := s.Pool.Query(ctx, `select `+standingSQL+`, `+overdueSQL+`, c.previous_name <> '', coalesce(n.live, 0)::int, coalesce(n.unpriced, 0)::int, coalesce(n.sums, '{}'), c.unmapped_since
		from `+tableFrom+` where c.connection = $6 and `+shown, args...)
	if err != nil {
		return nil, fmt.Errorf("add up mappings: %w", err)
	}
	out := &mappingv1.MappingSummary{Connection: c.GetSlug(), Alert: &mappingv1.UnmappedAlert{After: durationpb.New(alertAfter(c))}}
	var hidden, billed, ignored, remap, overdueSum amounts
	var standing mappingv1.Standing
	var overdue, renamed bool
	var live, unpriced int32
	var sums amounts
	var since *time.Time
	var oldest time.Time
	for rows.Next() {
		sums, since = nil, nil
		if err := rows.Scan(&standing, &overdue, &renamed, &live, &unpriced, &sums, &since); err != nil {
			return nil, fmt.Errorf("add up mappings: %w", err)
		}
		switch standing {
		case mappingv1.Standing_STANDING_MAPPED:
			out.Mapped++
			billed = billed.add(sums)
		case mappingv1.Standing_STANDING_CREATING:
			out.Creating++
		case mappingv1.Standing_STANDING_IGNORED:
			out.Ignored++
			ignored = ignored.add(sums)
		case mappingv1.Standing_STANDING_REMAP:
			out.Remap++
			remap = remap.add(sums)
		case mappingv1.Standing_STANDING_SUGGESTED, mappingv1.Standing_STANDING_UNMAPPED:
			if standing == mappingv1.Standing_STANDING_SUGGESTED {
				out.Suggested++
			} else {
				out.Unmapped++
			}
			hidden = hidden.add(sums)
			out.UnmappedSubscriptions, out.UnmappedUnpriced = out.UnmappedSubscriptions+live, out.UnmappedUnpriced+unpriced
		}
		if renamed {
			out.Renamed++
		}
		if overdue {
			out.Alert.Customers, out.Alert.Subscriptions, out.Alert.Unpriced = out.Alert.Customers+1, out.Alert.Subscriptions+live, out.Alert.Unpriced+unpriced
			overdueSum = overdueSum.add(sums)
			if since != nil && (oldest.IsZero() || since.Before(oldest)) {
				oldest = *since
			}
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("add up mappings: %w", err)
	}
	out.MonthlyUnmapped, out.MonthlyMapped, out.MonthlyIgnored, out.MonthlyRemap = hidden.money(), billed.money(), ignored.money(), remap.money()
	if out.Alert.Customers > 0 {
		out.Alert.Raised, out.Alert.Monthly, out.Alert.Since = true, overdueSum.money(), timestamppb.New(oldest)
		out.Alert.Text = fmt.Sprintf("%d customers with %d subscriptions (%s) are not mapped to Halo and not billed there, the longest since %s.",
			out.Alert.Customers, out.Alert.Subscriptions, overdueSum.words(out.Alert.Unpriced), oldest.UTC().Format("2 January 2006 15:04 MST"))
	}
	return out, nil
}

// words are sums for a person.
func (a amounts) words(unpriced int32) string {
	text := ""
	for _, m := range a.money() {
		if text != "" {
			text += " and "
		}
		text += m.GetAmount() + " " + m.GetCurrency()
	}
	switch {
	case text == "":
		text = "of unknown cost"
	case unpriced > 0:
		text += fmt.Sprintf(" a month ex VAT, and %d of unknown cost", unpriced)
	default:
		text += " a month ex VAT"
	}
	return text
}

// alert says aloud that customers stay unmapped: when they begin to, when they become more, and once a day.
func (s *service) alert(ctx context.Context) (int, error) {
	all, err := connections.All(ctx, s.Pool)
	if err != nil {
		return 0, err
	}
	for _, c := range all {
		if c.GetDeleted() || !c.GetEnabled() {
			continue
		}
		// The sums are not added up while nothing is overdue.
		var any bool
		err := s.Pool.QueryRow(ctx, `select exists (select from customers where connection = $1 and unmapped_since < $2)
			or exists (select from unmapped_alerts where connection = $1)`, c.GetSlug(), s.Clock.Now().Add(-alertAfter(c))).Scan(&any)
		if err != nil {
			return 0, fmt.Errorf("look for unmapped customers of %s: %w", c.GetSlug(), err)
		}
		if !any {
			continue
		}
		sum, err := s.summary(ctx, c)
		if err != nil {
			return 0, err
		}
		if err := s.sayAloud(ctx, c.GetSlug(), sum.GetAlert()); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func (s *service) sayAloud(ctx context.Context, connection string, a *mappingv1.UnmappedAlert) error {
	if !a.GetRaised() {
		tag, err := s.Pool.Exec(ctx, `delete from unmapped_alerts where connection = $1`, connection)
		if err != nil {
			return fmt.Errorf("end the alert of %s: %w", connection, err)
		}
		if tag.RowsAffected() > 0 {
			s.Log.InfoContext(ctx, "no customers stay unmapped any more", "connection", connection)
		}
		return nil
	}
	now := s.Clock.Now()
	var said bool
	err := s.Pool.QueryRow(ctx, `insert into unmapped_alerts as a (connection, customers, warned) values ($1, $2, $3)
		on conflict (connection) do update set customers = excluded.customers,
			warned = case when excluded.customers > a.customers or a.warned <= $4 then excluded.warned else a.warned end
		returning warned = $3`, connection, a.GetCustomers(), now.Truncate(time.Microsecond), now.Add(-24*time.Hour)).Scan(&said)
	if err != nil {
		return fmt.Errorf("raise the alert of %s: %w", connection, err)
	}
	if said {
		s.Log.WarnContext(ctx, "customers stay unmapped: "+a.GetText()+" Map or ignore them: seatline mappings list --unmapped.", "connection", connection,
			"customers", a.GetCustomers(), "subscriptions", a.GetSubscriptions(), "since", a.GetSince().AsTime())
	}
	return nil
}

// measure has unmapped customers counted whenever somebody measures, until the returned function is called.
func (s *service) measure() (stop func(), err error) {
	meter := otel.Meter("seatline.dev/services/mapper")
	customers, err := meter.Int64ObservableGauge("seatline.mappings.unmapped", metric.WithUnit("{customer}"),
		metric.WithDescription("Unmapped customers by connection; overdue: with subscriptions, and for longer than the connection allows"))
	if err != nil {
		return nil, fmt.Errorf("measure mappings: %w", err)
	}
	money, err := meter.Float64ObservableGauge("seatline.mappings.unmapped.monthly", metric.WithUnit("{currency}"),
		metric.WithDescription("What the subscriptions of unmapped customers cost per month ex VAT, by connection and currency"))
	if err != nil {
		return nil, fmt.Errorf("measure mappings: %w", err)
	}
	registration, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		all, err := connections.All(ctx, s.Pool)
		if err != nil {
			return err
		}
		for _, c := range all {
			if c.GetDeleted() {
				continue
			}
			sum, err := s.summary(ctx, c)
			if err != nil {
				return err
			}
			of := attribute.String("connection", c.GetSlug())
			late := int64(sum.GetAlert().GetCustomers())
			o.ObserveInt64(customers, int64(sum.GetUnmapped()+sum.GetSuggested())-late, metric.WithAttributes(of, attribute.Bool("overdue", false)))
			o.ObserveInt64(customers, late, metric.WithAttributes(of, attribute.Bool("overdue", true)))
			for _, m := range sum.GetMonthlyUnmapped() {
				var amount float64
				if _, err := fmt.Sscan(m.GetAmount(), &amount); err == nil {
					o.ObserveFloat64(money, amount, metric.WithAttributes(of, attribute.String("currency", m.GetCurrency())))
				}
			}
		}
		return nil
	}, customers, money)
	if err != nil {
		return nil, fmt.Errorf("measure mappings: %w", err)
	}
	return func() { _ = registration.Unregister() }, nil // it fails for another meter's registration only
}
